package storetest

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// registering are the promises about agents.
func registering() []promise {
	return []promise{
		{"AddAgent registers an agent with its first key", addAgent},
		{"Agent returns the living agent with the id", agentByID},
		{"AgentsPage lists living agents ordered by address, page by page", agentsByPage},
		{"AddAgent is ErrExists when a living agent has the name, in any case of letters", nameIsTaken},
		{"AddAgent that was refused leaves no key", refusedKey},
		{"AddAgent makes changes of documents with the agent, all of it or nothing", addAgentWith},
		{"UpdateAgent makes changes of documents with that of the agent, all of it or nothing", updateAgentWith},
		{"AddKey makes changes of documents with the key, all of it or nothing", addKeyWith},
		{"RemoveAgent ends the secret of its endpoint", removedEndpoint},
		{"of many AddAgents at once one gets the name", oneGetsTheName},
		{"UpdateAgent stores the descriptive members", updateAgent},
		{"UpdateAgent is ErrNotFound when it is gone", updateGone},
		{"RemoveAgent ends an agent and its keys at once", removeAgent},
		{"RemoveAgent ends keys that are added at the same time", removeWhileAddingKeys},
		{"RemoveAgent leaves what was sent and received", removedMailStays},
		{"RemoveAgent is ErrNotFound when it is gone", removeGone},
		{"a namesake does not inherit mail", namesake},
		{"AgentNamed finds the living agent, in any case of letters", agentNamed},
		{"Agents are all living agents ordered by address", allAgents},
	}
}

func addAgent(w *world) {
	now := w.now()
	key := newKey("secret", 0, now)
	want := gateway.Agent{
		Address: w.address("Alice.B-c@" + domain), DeliveryMode: "pull", Description: "sells <things> & ü",
		Role:         "shop",
		Capabilities: []string{"b", "a", ""}, SupportedSchemas: []string{"agntcy:commerce.*"}, CreatedAt: now,
		LastActive: now,
	}
	got, err := w.store.AddAgent(w.ctx, want, key)
	if err != nil || got.ID <= 0 {
		w.Fatalf("AddAgent = %d, %v, want an id", got.ID, err)
	}
	want.ID = got.ID
	w.sameAgent("answer", &got, &want)
	named, err := w.store.AgentNamed(w.ctx, want.Address)
	w.works("AgentNamed", err)
	w.sameAgent("directory", named, &want)
	owner, id, err := w.store.KeyOwner(w.ctx, key.Hash, now)
	w.works("KeyOwner", err)
	w.sameAgent("owner of the key", owner, &want)
	same(w, "id of the key", id, key.ID)
}

func (w *world) sameAgent(where string, got, want *gateway.Agent) {
	w.Helper()
	if got == nil {
		w.Fatalf("agent in the %s = nil, want %s", where, want.Address)
	}
	same(w, "id in the "+where, got.ID, want.ID)
	same(w, "address in the "+where, got.Address, want.Address)
	same(w, "mode in the "+where, got.DeliveryMode, want.DeliveryMode)
	same(w, "description in the "+where, got.Description, want.Description)
	same(w, "role in the "+where, got.Role, want.Role)
	sameList(w, "capabilities in the "+where, got.Capabilities, want.Capabilities)
	sameList(w, "schemas in the "+where, got.SupportedSchemas, want.SupportedSchemas)
	same(w, "listed in the "+where, got.Listed, want.Listed)
	w.sameTime("CreatedAt in the "+where, got.CreatedAt, want.CreatedAt)
	w.sameTime("LastActive in the "+where, got.LastActive, want.LastActive)
}

func nameIsTaken(w *world) {
	w.agent("Alice")
	for _, name := range []string{"Alice", "alice", "ALICE"} {
		_, err := w.register(name)
		w.fails("AddAgent of "+name, err, gateway.ErrExists)
	}
	w.agent("alice2")
	same(w, "number of agents", len(w.store.Agents(w.ctx)), 2)
}

// endpointOf makes the sealed document of an agent's endpoint.
func endpointOf(id gateway.AgentID) gateway.DocumentChange {
	return gateway.DocumentChange{Kind: gateway.EndpointKind(id),
		Change: func([]gateway.Document) ([]gateway.Document, error) {
			return []gateway.Document{{Kind: gateway.EndpointKind(id), Name: "endpoint", Sealed: []byte("sealed"),
				Facts: []byte("{}"), Created: morning}}, nil
		}}
}

// faults are errors of changes of documents: one that the store does not know, and
// errors that the store itself returns.
var faults = []error{errors.New("it cannot be sealed"), gateway.ErrNotFound, gateway.ErrExists, gateway.ErrConflict}

// refusing is a change that fails.
func refusing(id gateway.AgentID, fault error) gateway.DocumentChange {
	return gateway.DocumentChange{Kind: gateway.EndpointKind(id),
		Change: func([]gateway.Document) ([]gateway.Document, error) { return nil, fault }}
}

func updateAgentWith(w *world) {
	alice := w.agent("alice")
	change := func(a *gateway.Agent) error {
		a.DeliveryMode, a.Target = "push", "https://hook.example/"
		return nil
	}
	for _, fault := range faults {
		_, err := w.store.UpdateAgent(w.ctx, gateway.Acting{}, alice.ID, change, endpointOf(alice.ID),
			refusing(alice.ID, fault))
		w.fails("UpdateAgent with a change that is refused", err, fault)
		a, err := w.store.Agent(alice.ID)
		w.works("Agent", err)
		same(w, "mode after that", a.DeliveryMode, "pull")
		same(w, "documents after that", w.endpoints(alice.ID), 0)
	}
	changed, err := w.store.UpdateAgent(w.ctx, gateway.Acting{}, alice.ID, change, endpointOf(alice.ID))
	w.works("UpdateAgent", err)
	same(w, "mode", changed.DeliveryMode, "push")
	same(w, "documents", w.endpoints(alice.ID), 1)
	fault := errors.New("no such agent is wanted")
	_, err = w.store.UpdateAgent(w.ctx, gateway.Acting{}, alice.ID, func(*gateway.Agent) error { return fault },
		gateway.DocumentChange{
			Kind: gateway.EndpointKind(alice.ID), Change: func([]gateway.Document) ([]gateway.Document,
				error) {
				return nil, nil
			}})
	w.fails("UpdateAgent that is refused", err, fault)
	same(w, "documents after that", w.endpoints(alice.ID), 1)
}

func addKeyWith(w *world) {
	alice := w.agent("alice")
	for i, fault := range faults {
		key := newKey("refused "+strconv.Itoa(i), alice.ID, w.now())
		_, err := w.store.AddKey(w.ctx, gateway.Acting{}, key, true, endpointOf(alice.ID), refusing(alice.ID, fault))
		w.fails("AddKey with a change that is refused", err, fault)
		w.noOwner("the key after that", key.Hash)
		same(w, "documents after that", w.endpoints(alice.ID), 0)
	}
	w.owns(alice, alice.key)
	key := newKey("second", alice.ID, w.now())
	_, err := w.store.AddKey(w.ctx, gateway.Acting{}, key, false, endpointOf(alice.ID))
	w.works("AddKey", err)
	w.owns(alice, key)
	same(w, "documents", w.endpoints(alice.ID), 1)
	w.remove(alice)
	_, err = w.store.AddKey(w.ctx, gateway.Acting{}, newKey("third", alice.ID, w.now()), false, endpointOf(alice.ID))
	w.fails("AddKey of an agent that is gone", err, gateway.ErrNotFound)
	same(w, "documents of one that is gone", w.endpoints(alice.ID), 0)
}

func (w *world) endpoints(id gateway.AgentID) int {
	w.Helper()
	list, err := w.store.Documents(w.ctx, gateway.EndpointKind(id))
	w.works("Documents", err)
	return len(list)
}

func addAgentWith(w *world) {
	now := w.now()
	agent := gateway.Agent{Address: w.address("hook@" + domain), DeliveryMode: "push", Target: "https://hook.example/",
		CreatedAt: now, LastActive: now}
	key := newKey("secret", 0, now)
	for _, fault := range faults {
		var id gateway.AgentID
		_, err := w.store.AddAgent(w.ctx, agent, key, endpointOf, func(made gateway.AgentID) gateway.DocumentChange {
			id = made
			return refusing(made, fault)
		})
		w.fails("AddAgent with a change that is refused", err, fault)
		_, err = w.store.AgentNamed(w.ctx, agent.Address)
		w.fails("AgentNamed", err, gateway.ErrNotFound)
		_, _, err = w.store.KeyOwner(w.ctx, key.Hash, now)
		w.fails("KeyOwner", err, gateway.ErrNotFound)
		same(w, "documents of one that was not registered", w.endpoints(id), 0)
	}
	added, err := w.store.AddAgent(w.ctx, agent, key, endpointOf)
	w.works("AddAgent", err)
	same(w, "documents", w.endpoints(added.ID), 1)
	same(w, "mode", added.DeliveryMode, "push")
	other := newKey("other", 0, now)
	_, err = w.store.AddAgent(w.ctx, agent, other, endpointOf)
	w.fails("AddAgent of a taken name", err, gateway.ErrExists)
	same(w, "documents after that", w.endpoints(added.ID), 1)
}

func removedEndpoint(w *world) {
	now := w.now()
	add := func(name string) gateway.Agent {
		a := gateway.Agent{Address: w.address(name + "@" + domain), DeliveryMode: "push",
			Target: "https://hook.example/", CreatedAt: now, LastActive: now}
		added, err := w.store.AddAgent(w.ctx, a, newKey(name, 0, now), endpointOf)
		w.works("AddAgent", err)
		return added
	}
	one, two := add("one"), add("two")
	w.works("RemoveAgent", w.store.RemoveAgent(w.ctx, gateway.Acting{}, one.ID, now))
	same(w, "documents of the one that was removed", w.endpoints(one.ID), 0)
	same(w, "documents of the other", w.endpoints(two.ID), 1)
}

func agentByID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	got, err := w.store.Agent(alice.ID)
	w.works("Agent", err)
	w.sameAgent("directory", got, &alice.Agent)
	w.remove(bob)
	for what, id := range map[string]gateway.AgentID{"a deleted agent": bob.ID, "nobody": 0, "no agent": 999_999} {
		_, err := w.store.Agent(id)
		w.fails("Agent of "+what, err, gateway.ErrNotFound)
	}
}

func agentsByPage(w *world) {
	var want []string
	for _, name := range []string{"Carol", "alice", "bob", "erin", "dave"} {
		w.agent(name)
		want = append(want, strings.ToLower(name)+"@"+domain)
	}
	w.remove(w.agent("gone"))
	slices.Sort(want)
	for limit := 1; limit < 7; limit++ {
		var got []string
		f := gateway.AgentFilter{Limit: limit}
		for {
			page := w.store.AgentsPage(f)
			same(w, "living agents", page.Living, 5)
			same(w, "listed agents", page.Listed, 5)
			for _, a := range page.Agents {
				got = append(got, a.Address.Key())
			}
			if !page.HasMore {
				break
			}
			same(w, "agents on a page that is not the last", len(page.Agents), limit)
			f.After = page.Next
		}
		sameList(w, "all pages", got, want)
	}
	page := w.store.AgentsPage(gateway.AgentFilter{Limit: 1, Count: true,
		Match: func(a *gateway.Agent) bool { return a.Address.Local() > "b" }})
	same(w, "agents that match", page.Matched, 3) // Carol begins with a capital letter
}

func refusedKey(w *world) {
	alice := w.agent("alice")
	refused, err := w.register("alice")
	w.fails("AddAgent of alice again", err, gateway.ErrExists)
	w.noOwner("the refused agent's key", refused.key.Hash)
	w.owns(alice, alice.key)
}

func oneGetsTheName(w *world) {
	var mu sync.Mutex
	var winners []person
	together(20, func(i int) {
		name := []string{"alice", "Alice", "ALICE", "aLiCe"}[i%4]
		now := w.now()
		key := newKey("attempt "+strconv.Itoa(i), 0, now)
		a, err := w.store.AddAgent(w.ctx, gateway.Agent{Address: w.address(name + "@" + domain), DeliveryMode: "pull",
			CreatedAt: now, LastActive: now}, key)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			winners = append(winners, person{Agent: a, key: key})
		} else {
			w.fails("AddAgent of a taken name", err, gateway.ErrExists)
		}
	})
	if len(winners) != 1 {
		w.Fatalf("number of agents with the name = %d, want 1", len(winners))
	}
	w.owns(winners[0], winners[0].key)
	same(w, "number of agents", len(w.store.Agents(w.ctx)), 1)
}

func updateAgent(w *world) {
	alice := w.agent("alice")
	want := alice.Agent
	want.Description, want.Role, want.Listed = "new", "buyer", false
	want.Capabilities, want.SupportedSchemas = []string{"x"}, []string{"agntcy:a.b.v1"}
	given := want
	given.Address, given.CreatedAt, given.LastActive = w.address("mallory@"+domain), w.now(), w.now()
	w.works("UpdateAgent", w.update(w.ctx, given))
	got, err := w.store.AgentNamed(w.ctx, alice.Address)
	w.works("AgentNamed", err)
	w.sameAgent("directory", got, &want)
	_, err = w.store.AgentNamed(w.ctx, given.Address)
	w.fails("AgentNamed of the address that was given", err, gateway.ErrNotFound)
	want.Capabilities, want.SupportedSchemas, want.Description = nil, nil, ""
	w.works("UpdateAgent", w.update(w.ctx, want))
	w.sameAgent("list", w.store.Agents(w.ctx)[0], &want)
}

func updateGone(w *world) {
	alice := w.agent("alice")
	w.remove(alice)
	w.fails("UpdateAgent of a deleted agent", w.update(w.ctx, alice.Agent), gateway.ErrNotFound)
	alice.ID = 999_999
	w.fails("UpdateAgent of no agent", w.update(w.ctx, alice.Agent), gateway.ErrNotFound)
}

func removeAgent(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	second := newKey("second", alice.ID, w.now())
	_, err := w.store.AddKey(w.ctx, gateway.Acting{}, second, false)
	w.works("AddKey", err)
	w.remove(alice)
	w.noOwner("the first key", alice.key.Hash)
	w.noOwner("the second key", second.Hash)
	w.owns(bob, bob.key)
	_, err = w.store.AgentNamed(w.ctx, alice.Address)
	w.fails("AgentNamed", err, gateway.ErrNotFound)
	same(w, "number of agents", len(w.store.Agents(w.ctx)), 1)
	third := newKey("third", alice.ID, w.now())
	_, err = w.store.AddKey(w.ctx, gateway.Acting{}, third, false)
	w.fails("AddKey of a deleted agent", err, gateway.ErrNotFound)
	w.noOwner("a key added later", third.Hash)
}

func removeWhileAddingKeys(w *world) {
	for round := range 20 {
		alice := w.agent("alice" + strconv.Itoa(round))
		keys := make([]gateway.Key, 8)
		for i := range keys {
			keys[i] = newKey(strconv.Itoa(round)+"/"+strconv.Itoa(i), alice.ID, w.now())
		}
		together(len(keys)+1, func(i int) {
			if i < len(keys) {
				_, _ = w.store.AddKey(w.ctx, gateway.Acting{}, keys[i], false) // may come before or after
			} else if err := w.store.RemoveAgent(w.ctx, gateway.Acting{}, alice.ID, w.now()); err != nil {
				w.Errorf("RemoveAgent = %v, want no error", err)
			}
		})
		for _, k := range keys {
			w.noOwner("a key added during the removal", k.Hash)
		}
	}
}

func removedMailStays(w *world) {
	alice, bob := w.agent("alice"), w.agent("Bob")
	to, from := w.send(alice, bob), w.send(bob, alice)
	w.remove(bob)
	w.listed("messages of alice", alice, gateway.MessageFilter{}, from, to)
	same(w, "recipient", w.read(alice, to).Deliveries[0].Recipient.String(), "Bob@"+domain)
	same(w, "sender", w.read(alice, from).Sender.String(), "Bob@"+domain)
	sameList(w, "inbox of alice", w.inbox(alice), []amtp.MessageID{from})
}

func removeGone(w *world) {
	alice := w.agent("alice")
	w.remove(alice)
	w.fails("RemoveAgent again", w.store.RemoveAgent(w.ctx, gateway.Acting{}, alice.ID, w.now()), gateway.ErrNotFound)
	w.fails("RemoveAgent of no agent", w.store.RemoveAgent(w.ctx, gateway.Acting{}, 999_999, w.now()),
		gateway.ErrNotFound)
	w.fails("RemoveAgent of 0", w.store.RemoveAgent(w.ctx, gateway.Acting{}, 0, w.now()), gateway.ErrNotFound)
}

func namesake(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	old := w.post(letter{from: alice, to: []person{bob}, key: "k", text: "old"}).ID
	own := w.post(letter{from: bob, to: []person{alice}, id: "token", key: "k", text: "old"}).ID
	w.remove(bob)
	later := w.agent("BOB")
	if later.ID == bob.ID {
		w.Fatalf("id of the namesake = %d, want one other than the deleted agent's", later.ID)
	}
	sameList(w, "inbox of the namesake", w.inbox(later), nil)
	same(w, "messages of the namesake", w.list(later, gateway.MessageFilter{Limit: 10}).Total, 0)
	w.unseen(later, old)
	w.unseen(later, own)
	w.unseen(later, "token")
	same(w, "recipient of the old message", w.read(alice, old).Deliveries[0].Agent, bob.ID)
	w.isNew(letter{from: later, to: []person{alice}, id: "token", key: "k", text: "new"})
	w.isNew(letter{from: alice, to: []person{later}, key: "k2", text: "new"})
}

func agentNamed(w *world) {
	alice := w.agent("Alice")
	for _, s := range []string{"Alice@shop.example", "alice@SHOP.example", "ALICE@Shop.Example."} {
		got, err := w.store.AgentNamed(w.ctx, w.address(s))
		w.works("AgentNamed of "+s, err)
		w.sameAgent("directory", got, &alice.Agent)
	}
	for _, s := range []string{"alic@shop.example", "alice@other.example", "alice@localhost"} {
		_, err := w.store.AgentNamed(w.ctx, w.address(s))
		w.fails("AgentNamed of "+s, err, gateway.ErrNotFound)
	}
	_, err := w.store.AgentNamed(w.ctx, amtp.Address{})
	w.fails("AgentNamed of no address", err, gateway.ErrNotFound)
}

func allAgents(w *world) {
	same(w, "number of agents at first", len(w.store.Agents(w.ctx)), 0)
	want := []string{"a", "alice", "bob", "carol", "dave", "zoe"}
	for _, name := range []string{"carol", "alice", "zoe", "bob", "a", "eve", "dave"} {
		if p := w.agent(name); name == "eve" {
			w.remove(p)
		}
	}
	var got []string
	for _, a := range w.store.Agents(w.ctx) {
		got = append(got, a.Address.Local())
	}
	sameList(w, "names", got, want)
	same(w, "sorted", slices.IsSorted(got), true)
}
