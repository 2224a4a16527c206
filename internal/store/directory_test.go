package store

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"pgregory.net/rapid"
)

func addressOf(t interface{ Fatal(...any) }, s string) amtp.Address {
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestDirectoryModel changes agents at random, and compares the lists with those of a
// plain map.
func TestDirectoryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := NewDirectory()
		living, gone := map[string]gateway.Agent{}, map[gateway.AgentID]string{}
		next := gateway.AgentID(0)
		name := func() string { return fmt.Sprintf("a%03d@x.example", rapid.IntRange(0, 700).Draw(t, "name")) }
		t.Repeat(map[string]func(*rapid.T){
			"many": func(t *rapid.T) {
				for i := range 300 { // enough to split blocks
					key := fmt.Sprintf("m%03d@x.example", i)
					if _, there := living[key]; !there {
						next++
						living[key] = gateway.Agent{ID: next, Address: addressOf(t, key)}
						d.Put(living[key], false)
					}
				}
			},
			"add": func(t *rapid.T) {
				key := name()
				if _, there := living[key]; there {
					return
				}
				next++
				living[key] = gateway.Agent{ID: next, Address: addressOf(t, key),
					Listed: rapid.Bool().Draw(t, "listed")}
				d.Put(living[key], false)
			},
			"remove": func(t *rapid.T) {
				if a, there := living[name()]; there {
					delete(living, a.Address.Key())
					gone[a.ID] = a.Address.Key()
					d.Remove(a.ID)
				}
			},
			"move": func(t *rapid.T) {
				a, there := living[name()]
				if !there {
					return
				}
				to := addressOf(t, a.Address.Local()+"@y.example")
				if _, taken := living[to.Key()]; taken {
					return
				}
				delete(living, a.Address.Key())
				a.Address = to
				living[to.Key()] = a
				d.Move(map[gateway.AgentID]amtp.Address{a.ID: to})
			},
			"forget": func(t *rapid.T) {
				for id := range gone {
					d.Forget([]gateway.AgentID{id})
					delete(gone, id)
					break
				}
			},
			"": func(t *rapid.T) {
				var want, got []string
				listed := 0
				for key, a := range living {
					want = append(want, key)
					listed += int(Bit(a.Listed))
				}
				slices.Sort(want)
				f := gateway.AgentFilter{Limit: rapid.IntRange(1, 400).Draw(t, "limit")}
				for {
					page := d.Page(f, 0)
					if page.Living != len(living) || page.Listed != listed {
						t.Fatalf("%d live and %d are listed, want %d and %d", page.Living, page.Listed,
							len(living), listed)
					}
					for _, a := range page.Agents {
						got = append(got, a.Address.Key())
					}
					if !page.HasMore {
						break
					}
					f.After = page.Next
				}
				if !slices.Equal(got, want) {
					t.Fatalf("the pages have %v, want %v", got, want)
				}
				if len(d.agent) != len(living)+len(gone) || len(d.gone) != len(gone) || len(d.named) != len(living) {
					t.Fatalf("%d are kept and %d are gone, want %d and %d", len(d.agent), len(d.gone),
						len(living)+len(gone), len(gone))
				}
			},
		})
	})
}

// TestPageOfAgents: a page looks at no more agents than its bound, and reports it.
func TestPageOfAgents(t *testing.T) {
	d := NewDirectory()
	for i := range 1000 {
		d.Put(gateway.Agent{ID: gateway.AgentID(i + 1), Address: addressOf(t, fmt.Sprintf("a%04d@x.example", i)),
			Listed: i%2 == 0}, false)
	}
	looked := 0
	last := func(a *gateway.Agent) bool { looked++; return strings.HasPrefix(a.Address.Local(), "a099") }
	page := d.Page(gateway.AgentFilter{Limit: 10, Match: last}, 300)
	if looked != 300 || len(page.Agents) != 0 || !page.HasMore || !page.Incomplete || page.Next != "a0299@x.example" {
		t.Errorf("looked at %d: %+v", looked, page)
	}
	found := 0
	for pages := 1; page.HasMore; pages++ {
		page = d.Page(gateway.AgentFilter{Limit: 10, Match: last, After: page.Next}, 300)
		found += len(page.Agents)
	}
	if found != 10 {
		t.Errorf("%d were found page by page, want 10", found)
	}
	page = d.Page(gateway.AgentFilter{Limit: 10, Count: true,
		Match: func(a *gateway.Agent) bool { return a.Listed }}, 0)
	if page.Matched != 500 || page.Capped || len(page.Agents) != 10 || !page.HasMore || page.Next != "a0018@x.example" {
		t.Errorf("counted %d: %d on the page, Next %q", page.Matched, len(page.Agents), page.Next)
	}
}

// TestActivityInParts: activity is stored in small parts, and none is lost.
func TestActivityInParts(t *testing.T) {
	d := NewDirectory()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for i := range 1000 {
		id := gateway.AgentID(i + 1)
		d.Put(gateway.Agent{ID: id, Address: addressOf(t, fmt.Sprintf("a%04d@x.example", i))}, false)
		key := gateway.Key{ID: fmt.Sprint(i), Agent: id, Hash: sha256.Sum256([]byte{byte(i), byte(i >> 8)})}
		d.PutKey(key)
		if _, _, err := d.KeyOwner(key.Hash, now); err != nil {
			t.Fatal(err)
		}
	}
	parts := d.touched(ActivityStep)
	agents, keys := 0, 0
	for i := range parts {
		if n := len(parts[i].Agents) + len(parts[i].Keys); n > ActivityStep {
			t.Errorf("part %d has %d, want %d at the most", i, n, ActivityStep)
		}
		agents, keys = agents+len(parts[i].Agents), keys+len(parts[i].Keys)
	}
	if agents != 1000 || keys != 1000 {
		t.Errorf("%d agents and %d keys, want 1000 of each", agents, keys)
	}
	if again := d.touched(ActivityStep); len(again) != 0 {
		t.Errorf("%d parts are left, want none", len(again))
	}
	d.notSaved(parts[3:])
	if again := d.touched(ActivityStep); len(again) != len(parts)-3 {
		t.Errorf("%d parts were put back, want %d", len(again), len(parts)-3)
	}
}

// TestNamesakes: of the agents that had one address, the last ones are found.
func TestNamesakes(t *testing.T) {
	d := NewDirectory()
	a := addressOf(t, "bob@x.example")
	for i := range 100 {
		d.Put(gateway.Agent{ID: gateway.AgentID(i + 1), Address: a}, i < 99)
	}
	ids := d.EverNamed(addressOf(t, "BOB@x.example"))
	if len(ids) != maxNamesakes || ids[0] != 100 || ids[len(ids)-1] != 100-maxNamesakes+1 {
		t.Errorf("found %v", ids)
	}
}
