// Package invite lets a person on another machine become an agent here without the
// admin key. The operator makes an invitation for a name, and the caller who shows it
// gets a key of that agent.
//
// The promise: an invitation has 128 random bits, of which only the hash is stored. It
// is for one name, and valid for ten minutes and once. That holds however many callers
// show it at the same time, at however many gateways over one store. An unknown, a used
// and an expired invitation get the same answer. The invitation is used in the
// transaction that registers the agent or stores the key: a crash leaves both or
// neither. A lost answer is not given again: "amtp invite NAME --existing" gives the
// agent another key.
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
		with ...gateway.DocumentChange) (amtp.Registration, bool, error)
	IssueKey(ctx context.Context, p gateway.Principal, name string, alone bool,
		with ...gateway.DocumentChange) (amtp.IssuedKey, error)
	Show(ctx context.Context, p gateway.Principal, name string) (amtp.Agent, error)
}

// Invites makes invitations and accepts them.
type Invites struct {
	Store  gateway.Documents
	Agents Registrar
	Domain amtp.Domain
	// Self returns where others reach this gateway, and by which certificate they know
	// it.
	Self func(context.Context) admin.GatewaySelf
	Now  func() time.Time
}

// Bounds of invitations.
const (
	lifetime = 10 * time.Minute
	maxOpen  = 100
)

// kind is the kind of the documents that hold invitations. Each has the hash of its
// code as its name.
const kind = "invite"

// invitation is stored under the hash.
type invitation struct {
	Name     string    `json:"name"`
	Existing bool      `json:"existing"`
	Until    time.Time `json:"until"`
}

// operator is the principal for the use of an invitation, because an operator made it.
var operator = gateway.Principal{Admin: true}

// Make makes an invitation for a name. An earlier one for that name ends. The caller
// has checked that the operator asks.
func (s *Invites) Make(ctx context.Context, n admin.NewInvite) (made admin.Invite, err error) {
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
	rand.Read(secret) // never fails: it would end the program
	now := s.Now()
	in := invitation{Name: n.Name, Existing: n.Existing, Until: now.Add(lifetime)}
	if err := s.keep(ctx, hash(secret), in, now); err != nil {
		return made, err
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

// hash returns the stored form of a code. The code has 128 random bits, so it cannot be
// found from its hash.
func hash(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// keep stores an invitation under its hash, in place of those for the same name, and
// removes expired ones.
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

// read returns an invitation, and whether it is still open. If it has longer to go than
// any invitation may have, a clock that was ahead made it, and it is expired.
func read(n *gateway.Document, now time.Time) (in invitation, open bool) {
	err := json.Unmarshal(n.Facts, &in)
	return in, err == nil && now.Before(in.Until) && in.Until.Sub(now) <= lifetime
}

// Take registers the agent of the invitation, or gives it one more key, and uses the
// invitation up. The invitation stays open when the registration is refused. unknown
// says that there is no such invitation, or no longer.
func (s *Invites) Take(ctx context.Context, j amtp.Join) (joined amtp.Joined, unknown bool, _ error) {
	secret, err := base64.RawURLEncoding.Strict().DecodeString(j.Secret)
	if err != nil || len(secret) != amtp.InviteSecretSize {
		return joined, true, notOpen()
	}
	name := hash(secret)
	var refused error
	in, err := s.open(ctx, name)
	if err == nil {
		if joined, refused = s.admit(ctx, in, j, s.use(name)); refused == nil {
			return joined, false, nil
		}
		// If another caller has used it meanwhile, this one finds the name taken.
		_, err = s.open(ctx, name)
	}
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return amtp.Joined{}, true, notOpen()
	case refused != nil:
		return amtp.Joined{}, false, refused
	}
	return amtp.Joined{}, false, err
}

// open returns the invitation with the hash. The error is ErrNotFound when there is no
// open one. A guess causes no write.
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

// use removes the invitation with the hash from the store, together with the change for
// which it is used.
func (s *Invites) use(name string) gateway.DocumentChange {
	return gateway.DocumentChange{Kind: kind, Change: func(list []gateway.Document) ([]gateway.Document, error) {
		i := find(list, name, s.Now())
		if i < 0 {
			return nil, notOpen() // another caller was faster
		}
		return slices.Delete(slices.Clone(list), i, i+1), nil
	}}
}

// find reads the whole list, whether or not it finds the name early.
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
	error) {
	if in.Existing {
		key, err := s.Agents.IssueKey(ctx, operator, in.Name, false, use)
		return amtp.Joined{Address: key.Address, APIKey: key.APIKey, Result: "issued"}, err
	}
	r, _, err := s.Agents.Register(ctx, operator, amtp.NewAgent{
		Address: in.Name, DeliveryMode: "pull", Description: j.Description, Role: j.Role,
		Capabilities: j.Capabilities, SupportedSchemas: j.SupportedSchemas, Listed: j.Listed,
	}, "", use)
	return amtp.Joined{Address: r.Address, APIKey: r.APIKey, Result: "registered"}, err
}

func notOpen() error {
	return amtp.Errorf(amtp.CodeAuthenticationFailed,
		"This invitation does not count: it is unknown, used, or older than ten minutes. Ask whoever sent it for another one.")
}
