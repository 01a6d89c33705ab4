// The functions with which every view changes the document. Texts are only ever inserted as text, not as markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element of the page with an id. */
export const byId = (id) => document.getElementById(id);

/** A new element with attributes and children; strings become text. An attribute that is null or false is left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A symbol of index.html. */
export function symbol(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "symbol");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#s-${name}`);
  svg.append(use);
  return svg;
}

/** Show another symbol in an element that `symbol` made. */
export function setSymbol(svg, name) {
  setAttribute(svg.firstElementChild, "href", `#s-${name}`);
}

/** A new element of SVG with attributes. */
export function makeSvg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Set the text of an element if it differs, so that an unchanged page needs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an attribute if it differs; null removes it. */
export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Read or write settings in the storage of this browser; without storage, nothing is remembered. */
export const memory = {
  get(key) {
    try {
      return localStorage.getItem(`tron.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(`tron.${key}`);
      else localStorage.setItem(`tron.${key}`, value);
    } catch {
      // private mode: the choice lasts as long as the page
    }
  },
};
