"""HTTP as all four ports speak it, whatever they answer: `front` is around every application."""
