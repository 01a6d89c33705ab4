package main

import (
	"context"
	"time"

	"github.com/hashicorp/consul/api"
)

// consul registers a service with a TTL check at its agent, and watches for critical checks.
type consul struct {
	settings
	client *api.Client
}

func newConsul(use settings) peer {
	client, err := api.NewClient(&api.Config{Address: use.address})
	if err != nil {
		fail(err)
	}
	return consul{use, client}
}

func (c consul) hold(_ context.Context, id string, ready func()) error {
	check := "check-" + id
	err := c.client.Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: id, Name: "peers",
		Check: &api.AgentServiceCheck{CheckID: check, TTL: c.ttl.String(), Status: api.HealthPassing},
	})
	if err != nil {
		return err
	}
	renewal := time.NewTicker(c.renew)
	for ; ; <-renewal.C {
		if err := c.client.Agent().UpdateTTL(check, "", api.HealthPassing); err != nil {
			return err
		}
		ready()
	}
}

func (c consul) watch(_ context.Context, ready func(), gone func(id, how string)) error {
	index := uint64(0)
	before := map[string]bool{}
	for {
		checks, meta, err := c.client.Health().State(api.HealthCritical, &api.QueryOptions{WaitIndex: index})
		if err != nil && ready != nil { // the server has no leader yet
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		now := map[string]bool{}
		for _, check := range checks {
			now[check.ServiceID] = true
			if !before[check.ServiceID] {
				gone(check.ServiceID, check.Status)
			}
		}
		before, index = now, meta.LastIndex
		if ready != nil {
			ready()
			ready = nil
		}
	}
}
