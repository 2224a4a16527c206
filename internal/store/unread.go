package store

import (
	"fmt"
	"strings"

	"github.com/amtp-go/amtp/internal/gateway"
)

// shownUnread is how many unreadable rows are described one by one.
const shownUnread = 3

// Unread counts the unreadable rows of a store. It uses the functions that otherwise
// read these rows. The zero value has counted none.
type Unread struct {
	Rows int
	said []string
	dir  *Directory
}

// Agent checks the row of an agent.
func (u *Unread) Agent(id int64, address, capabilities, schemas, members string) {
	a := gateway.Agent{}
	ReadAgent(&a, address, capabilities, schemas, members)
	u.note("agent", id, a.Damage)
}

// Message checks the row of a message.
func (u *Unread) Message(id int64, r *EnvelopeRow) {
	e := r.Envelope(u.nobody())
	if e.ID == "" && e.Damage == "" {
		e.Damage = fmt.Sprintf("the message id in the gateway's database has %d bytes, want 16", len(r.UUID))
	}
	u.note("message", id, e.Damage)
}

// Delivery checks the row of a delivery.
func (u *Unread) Delivery(r *DeliveryRow) {
	d := r.Delivery(u.nobody())
	if r.State.String() == "" && d.Damage == "" {
		d.Damage = fmt.Sprintf("the state of the delivery in the gateway's database, %d, is not a state", int(r.State))
	}
	u.note("delivery", r.Seq, d.Damage)
}

// nobody returns an empty directory for checks of single rows. Whether the agent of a
// row exists is checked elsewhere.
func (u *Unread) nobody() *Directory {
	if u.dir == nil {
		u.dir = NewDirectory()
	}
	return u.dir
}

func (u *Unread) note(what string, id int64, damage string) {
	if damage == "" {
		return
	}
	if u.Rows++; len(u.said) < shownUnread {
		u.said = append(u.said, fmt.Sprintf("%s %d: %s", what, id, damage))
	}
}

// String describes the unreadable rows, the first of them one by one.
func (u *Unread) String() string {
	text := strings.Join(u.said, "; ")
	if rest := u.Rows - len(u.said); rest > 0 {
		text += fmt.Sprintf("; and %d more", rest)
	}
	return text
}
