package profile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/amtp-go/amtp"
)

// Is reports whether the profile is the agent of that name at the gateway in use.
func (id *Identity) Is(name string) bool {
	return id.Saved(MemberKey) != "" && !id.isOther(name, id.Gateway)
}

// isOther reports whether the profile holds the key of another agent than the one of the
// name at the gateway.
func (id *Identity) isOther(name, gateway string) bool {
	m, _ := id.Of(id.Profile)
	return m.Text(MemberKey) != "" &&
		!(SameAgent(cmp.Or(m.Text(MemberName), m.Text(MemberAddress)), name) &&
			SameGateway(cmp.Or(m.Text(MemberGateway), DefaultGateway), gateway))
}

// MayBecome refuses to give the profile another identity than it has: the key that is
// saved may be the only one.
func (id *Identity) MayBecome(name, gateway string) error {
	if !id.isOther(name, gateway) {
		return nil
	}
	return id.Taken("give the new identity a profile of its own: --profile " + name +
		"; to forget the one that is saved: amtp profile remove " + id.Profile + " --yes")
}

// Taken says that the profile is another agent's, and whose.
func (id *Identity) Taken(hint string) error {
	return &Error{Code: amtp.CodeConflict, Hint: hint,
		Message: fmt.Sprintf("The profile %s in %s is %s already, at %s.", id.Profile, id.Path,
			cmp.Or(id.Saved(MemberAddress), id.Saved(MemberName), "somebody"),
			cmp.Or(id.Saved(MemberGateway), "a gateway on this machine"))}
}

// Become saves who the profile is from now on, unless it is another agent by then, see
// [Identity.MayBecome]. What another command saved in it meanwhile is kept.
func (id *Identity) Become(name, gateway string, changes map[string]string) error {
	return id.saveIf(changes, func() error { return id.MayBecome(name, gateway) })
}

// Save changes members of the profile and keeps all others; an empty text
// removes one, and a profile without any is removed. A saved admin key stays
// that of its gateway when the profile gets another one.
func (id *Identity) Save(changes map[string]string) error {
	return id.saveIf(changes, func() error { return nil })
}

// saveIf saves unless the file, as it is at that moment, makes that a mistake.
func (id *Identity) saveIf(changes map[string]string, check func() error) error {
	return id.Change(func(now *File) error {
		before := *id.File
		*id.File = *now
		if err := check(); err != nil {
			*id.File = before
			return err
		}
		m, _ := now.Of(id.Profile)
		from := m.Text(MemberGateway)
		if to := changes[MemberGateway]; to != "" && m.Text(MemberAdminKey) != "" && m.Text(MemberAdminFor) == "" &&
			!mayGo(from, to) {
			changes[MemberAdminFor] = cmp.Or(from, DefaultGateway)
		}
		for member, text := range changes {
			if text == "" {
				delete(m, member)
				continue
			}
			value, err := json.Marshal(text)
			if err != nil {
				return err
			}
			m[member] = value
		}
		switch {
		case id.Named() && len(m) > 0:
			now.Profiles[id.Profile] = m
		case id.Named():
			delete(now.Profiles, id.Profile)
			if now.Members.Text(MemberProfile) == id.Profile {
				delete(now.Members, MemberProfile)
			}
		}
		return nil
	})
}

// Use makes the profile the one that is used where nothing else says another.
func (f *File) Use(name string) error {
	return f.Change(func(now *File) error {
		if _, there := now.Of(name); !there {
			return &Error{Code: CodeNoProfile,
				Message: "There is no profile " + strconv.Quote(name) + " in " + now.Path + ".",
				Hint: `choose one of "amtp profile list", or make it with "amtp setup --profile ` + name +
					` --name <agent-name>"`}
		}
		if delete(now.Members, MemberProfile); name != Default {
			now.Members[MemberProfile] = []byte(strconv.Quote(name))
		}
		return nil
	})
}

// Forget takes the identity of the profile and its key out of the file. An admin key stays,
// with the gateway that it is for.
func (id *Identity) Forget() error {
	gone := Without(Without(map[string]string{}, OfAgent), OfGateway)
	if id.Saved(MemberAdminKey) != "" && id.Saved(MemberAdminFor) == "" {
		gone[MemberAdminFor] = cmp.Or(id.Saved(MemberGateway), DefaultGateway)
	}
	return id.Save(gone)
}
