// Package invite lets somebody elsewhere become an agent here without the admin
// key: the operator makes an invitation for a name, and who shows it gets the
// key of that agent.
//
// What it promises: an invitation has 128 random bits, of which only the hash is
// kept; it is for one name, counts for ten minutes and once, however many show it
// at the same time and at however many gateways over one store; and who shows one
// that is unknown, used or over hears the same. It is used in the transaction that
// registers the agent or stores the key: a crash leaves both or neither. An answer that
// is lost behind that is not given again: "amtp invite NAME --existing" gives the agent
// another key.
package invite

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Registrar makes agents and keys. agent.Agents is one.
type Registrar interface {
	Register(ctx context.Context, p gateway.Principal, n amtp.NewAgent, shown string,
		with ...gateway.DocumentChange) (amtp.Registration, bool, *amtp.Error)
	IssueKey(ctx context.Context, p gateway.Principal, name string, alone bool,
		with ...gateway.DocumentChange) (amtp.IssuedKey, *amtp.Error)
	Show(ctx context.Context, p gateway.Principal, name string) (amtp.Agent, *amtp.Error)
}

// Invites makes and takes invitations.
type Invites struct {
	Store  gateway.Documents
	Agents Registrar
	Domain amtp.Domain
	// Self says where others reach this gateway, and by what they know it.
	Self func(context.Context) admin.GatewaySelf
	Now  func() time.Time
}

// Bounds of invitations.
const (
	lifetime = 10 * time.Minute
	maxOpen  = 100
)

// kind is that of the invitations among the secrets of the store. Each has the
// hash of its code as its name.
const kind = "invite"

// invitation is what is kept beside the hash.
type invitation struct {
	Name     string    `json:"name"`
	Existing bool      `json:"existing"`
	Until    time.Time `json:"until"`
}

// operator is in whose name an invitation is taken: who made it was one.
var operator = gateway.Principal{Admin: true}

// Make makes an invitation for a name. One that was made for it before ends. The
// caller has made sure that the operator asks.
func (s *Invites) Make(ctx context.Context, n admin.NewInvite) (made admin.Invite, refused *amtp.Error) {
	address, err := amtp.ParseAddress(n.Name + "@" + string(s.Domain))
	if err == nil {
		err = amtp.CheckName(n.Name)
	}
	switch {
	case err != nil:
		return made, amtp.Errorf(amtp.CodeRegistrationFailed, "Nobody was invited: %v.", err)
	case gateway.IsReserved(n.Name):
		return made, amtp.Errorf(amtp.CodeRegistrationFailed,
			"Nobody was invited: the name %q belongs to the gateway itself.", n.Name)
	}
	switch _, unknown := s.Agents.Show(ctx, operator, n.Name); {
	case unknown != nil && n.Existing:
		return made, unknown
	case unknown == nil && !n.Existing:
		return made, amtp.Errorf(amtp.CodeConflict,
			"The agent %s exists already. To give its owner one more key: amtp invite %s --existing", address, n.Name)
	}
	secret := make([]byte, amtp.InviteSecretSize)
	rand.Read(secret) // never fails: it ends the program instead
	now := s.Now()
	in := invitation{Name: n.Name, Existing: n.Existing, Until: now.Add(lifetime)}
	if err := s.keep(ctx, hash(secret), in, now); err != nil {
		var e *amtp.Error
		if errors.As(err, &e) {
			return made, e
		}
		return made, gateway.Refusal(err)
	}
	made = admin.Invite{Address: address, Secret: base64.RawURLEncoding.EncodeToString(secret),
		Expires: amtp.Time{Time: in.Until}}
	self := s.Self(ctx)
	if len(self.Gateways) > 0 {
		made.Gateway = self.Gateways[0]
	}
	if self.SelfSigned {
		made.Pin = self.Pin
	}
	return made, nil
}

// hash is what is kept of a code: it has 128 random bits, so nobody finds it from
// that.
func hash(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// keep stores an invitation under its hash, in place of those for the same name,
// and lets go of those that are over.
func (s *Invites) keep(ctx context.Context, name string, in invitation, now time.Time) error {
	facts, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return s.Store.ChangeDocuments(ctx, kind, func(list []gateway.Document) ([]gateway.Document, error) {
		list = slices.DeleteFunc(slices.Clone(list), func(n gateway.Document) bool {
			before, open := read(&n, now)
			return !open || strings.EqualFold(before.Name, in.Name)
		})
		if len(list) >= maxOpen {
			return nil, amtp.Errorf(amtp.CodeConflict,
				"%d invitations are open, and that is as many as there may be; each ends after ten minutes.", maxOpen)
		}
		return append(list, gateway.Document{Kind: kind, Name: name, Facts: facts, Created: now}), nil
	})
}

// read returns an invitation, and whether it is still open. One that has longer to
// go than any invitation was made by a clock that was ahead, and is over.
func read(n *gateway.Document, now time.Time) (in invitation, open bool) {
	err := json.Unmarshal(n.Facts, &in)
	return in, err == nil && now.Before(in.Until) && in.Until.Sub(now) <= lifetime
}

// Take makes the agent for which the invitation is, or gives it one more key,
// and uses the invitation up. It stays open when the registration is refused.
// unknown says that there is no such invitation, or none any more.
func (s *Invites) Take(ctx context.Context, j amtp.Join) (joined amtp.Joined, unknown bool, refused *amtp.Error) {
	secret, err := base64.RawURLEncoding.Strict().DecodeString(j.Secret)
	if err != nil || len(secret) != amtp.InviteSecretSize {
		return joined, true, notOpen()
	}
	name := hash(secret)
	in, err := s.open(ctx, name)
	if err == nil {
		joined, refused = s.admit(ctx, in, j, s.use(name))
		if refused == nil {
			return joined, false, nil
		}
		// Who comes behind somebody who has used it meanwhile finds the name taken.
		_, err = s.open(ctx, name)
	}
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return amtp.Joined{}, true, notOpen()
	case refused != nil:
		return amtp.Joined{}, false, refused
	}
	return amtp.Joined{}, false, gateway.Refusal(err)
}

// open returns the invitation with the hash. ErrNotFound when there is none that is
// open. Nothing is written for who guesses.
func (s *Invites) open(ctx context.Context, name string) (in invitation, err error) {
	list, err := s.Store.Documents(ctx, kind)
	if err != nil {
		return in, err
	}
	i := find(list, name, s.Now())
	if i < 0 {
		return in, gateway.ErrNotFound
	}
	in, _ = read(&list[i], s.Now())
	return in, nil
}

// use takes the invitation with the hash out of the store, with what it is used for.
func (s *Invites) use(name string) gateway.DocumentChange {
	return gateway.DocumentChange{Kind: kind, Change: func(list []gateway.Document) ([]gateway.Document, error) {
		i := find(list, name, s.Now())
		if i < 0 {
			return nil, notOpen() // somebody was faster
		}
		return slices.Delete(slices.Clone(list), i, i+1), nil
	}}
}

// find looks through all of the list, whichever it is.
func find(list []gateway.Document, name string, now time.Time) int {
	found := -1
	for i := range list {
		_, open := read(&list[i], now)
		if subtle.ConstantTimeCompare([]byte(list[i].Name), []byte(name)) == 1 && open {
			found = i
		}
	}
	return found
}

// admit registers the agent, or gives it a key, and uses the invitation for that.
func (s *Invites) admit(ctx context.Context, in invitation, j amtp.Join, use gateway.DocumentChange) (amtp.Joined,
	*amtp.Error) {
	if in.Existing {
		key, refused := s.Agents.IssueKey(ctx, operator, in.Name, false, use)
		return amtp.Joined{Address: key.Address, APIKey: key.APIKey, Result: "issued"}, refused
	}
	r, _, refused := s.Agents.Register(ctx, operator, amtp.NewAgent{
		Address: in.Name, DeliveryMode: "pull", Description: j.Description, Role: j.Role,
		Capabilities: j.Capabilities, SupportedSchemas: j.SupportedSchemas, Listed: j.Listed,
	}, "", use)
	return amtp.Joined{Address: r.Address, APIKey: r.APIKey, Result: "registered"}, refused
}

func notOpen() *amtp.Error {
	return amtp.Errorf(amtp.CodeAuthenticationFailed,
		"This invitation does not count: it is unknown, used, or older than ten minutes. Ask whoever sent it for another one.")
}
