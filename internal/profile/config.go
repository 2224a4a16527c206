// Package profile knows who the user of this machine is: the file ~/.amtp-config.json and
// the profiles in it, the file with which a project chooses among them, and the identity
// that a command acts with.
//
// The promise: a key goes to the gateway that it is for, and to no other; a file that comes
// with a repository chooses among the user's profiles only, and only after the user allowed
// it; a change keeps what the program does not know and what another command saved
// meanwhile. The file is replaced as a whole, so a crash leaves the former one or the new
// one. Nothing here prints: what the user should hear is an [Error] or goes to [Given.Note].
package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/render"
)

// The members of the config file that hold profiles. A program that knows no profiles reads
// the members next to them, which are the profile [Default].
const (
	MemberProfiles = "profiles" // name → members of an identity
	MemberProfile  = "profile"  // the profile to use where nothing says another
)

// Default is the name of the identity that stands in the file itself.
const Default = "default"

// Members are those of the config file, or of one profile in it, as JSON.
type Members map[string]json.RawMessage

// Text returns a text among the members, "" when there is none.
func (m Members) Text(member string) string {
	var s string
	if json.Unmarshal(m[member], &s) != nil {
		return ""
	}
	return s
}

// File is the content of ~/.amtp-config.json, or of the file that --config names. A File
// is what was there when it was read; [File.Change] reads it again.
type File struct {
	Path     string
	Members  Members
	Profiles map[string]Members
}

// Read reads the file, which need not exist.
func Read(file string) (*File, error) {
	if err := datadir.Foreign(file); err != nil {
		return nil, usagef("%s", render.Sentence(err))
	}
	c := &File{Path: file, Members: Members{}, Profiles: map[string]Members{}}
	doc, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Code: CodeNotSetUp,
			Message: "Cannot read the config file: " + err.Error() + ".",
			Hint:    "make it readable for you, or give another one: --config FILE"}
	}
	doc = plaintext.Content(doc)
	if len(bytes.TrimSpace(doc)) == 0 {
		return c, nil
	}
	bad := func(what string) error {
		return &Error{Code: CodeNotSetUp, Message: what,
			Hint: `repair it, or remove it and run "amtp setup --name <agent-name>"`}
	}
	if err := json.Unmarshal(doc, &c.Members); err != nil || c.Members == nil {
		return nil, bad(fmt.Sprintf("The config file %s is not a JSON object.", file))
	}
	if raw, ok := c.Members[MemberProfiles]; ok {
		if err := json.Unmarshal(raw, &c.Profiles); err != nil || c.Profiles == nil {
			return nil, bad(fmt.Sprintf("In the config file %s the member %q is not an object of objects.", file,
				MemberProfiles))
		}
	}
	return c, nil
}

// Of returns the members of a profile, and whether there is one. The default profile is
// always there.
func (c *File) Of(name string) (Members, bool) {
	if name == Default {
		return c.Members, true
	}
	m, ok := c.Profiles[name]
	if m == nil {
		m = Members{}
	}
	return m, ok
}

// Change applies a change to what is in the file at that moment, while no other command
// changes it. The file is replaced as a whole, and only its owner can read it. A symbolic
// link stays one. When apply fails, nothing is changed.
func (c *File) Change(apply func(now *File) error) error {
	unlock, err := lock(c.Path)
	if err != nil {
		return notSaved(err)
	}
	defer unlock()
	now, err := Read(c.Path)
	if err != nil {
		return err
	}
	if err := apply(now); err != nil {
		return err
	}
	if delete(now.Members, MemberProfiles); len(now.Profiles) > 0 {
		if now.Members[MemberProfiles], err = json.Marshal(now.Profiles); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(now.Members); err != nil {
		return err
	}
	if err := managedfile.Replace(managedfile.Target(c.Path), b.Bytes()); err != nil {
		return notSaved(err)
	}
	*c = *now
	return nil
}

// dropEmpty removes the file if it holds nothing, while no other command changes it.
func (c *File) dropEmpty() error {
	unlock, err := lock(c.Path)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := Read(c.Path)
	if err != nil || len(now.Members) > 0 {
		return err
	}
	return os.Remove(managedfile.Target(c.Path))
}

func notSaved(err error) error {
	return &Error{Code: amtp.CodeInternal,
		Message: "Cannot save the config file: " + err.Error() + ".",
		Hint:    "make room, or give a file that you may write: --config FILE"}
}

// The members of a profile. Others are kept as they are.
const (
	MemberGateway  = "gatewayUrl"
	MemberName     = "agentName"
	MemberAddress  = "agentAddress"
	MemberKey      = "apiKey"
	MemberPin      = "gatewayPin"  // of the gateway's certificate, see amtp.Pin
	MemberUser     = "gatewayUser" // the user who runs the gateway, on this machine
	MemberAdminKey = "adminKey"
	MemberAdminFor = "adminKeyGateway" // whose adminKey it is; absent: gatewayUrl's

	MemberSince = "agentCreated" // when the agent was registered: a later one of that name is another

	MemberRegistering = "registering" // see Registering; while a registration is not answered
)

// OfAgent are the members that say who the agent is, and OfGateway those that say how its
// gateway is known.
var (
	OfAgent   = []string{MemberName, MemberAddress, MemberKey, MemberSince, MemberUser, MemberRegistering}
	OfGateway = []string{MemberGateway, MemberPin}
)

// Without adds to the changes that the members go, and returns the changes.
func Without(changes map[string]string, members []string) map[string]string {
	for _, m := range members {
		changes[m] = ""
	}
	return changes
}
