package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// The members of the config file that hold profiles. Whoever knows none reads
// the members beside them, which are the profile [profileDefault].
const (
	memberProfiles = "profiles" // name → members of an identity
	memberProfile  = "profile"  // the profile to use where nobody says another
)

// profileDefault is the name of the identity that stands in the file itself.
const profileDefault = "default"

// members are those of the config file, or of one profile in it.
type members map[string]json.RawMessage

// text returns a text among the members, "" when there is none.
func (m members) text(member string) string {
	var s string
	if json.Unmarshal(m[member], &s) != nil {
		return ""
	}
	return s
}

// configFile is the content of ~/.amtp-config.json, or of the file that
// --config names.
type configFile struct {
	file     string
	members  members
	profiles map[string]members
}

// readConfig reads the file, which need not exist.
func readConfig(file string) (*configFile, error) {
	if err := datadir.Foreign(file); err != nil {
		return nil, usageErrorf("%s", sentence(err))
	}
	c := &configFile{file: file, members: members{}, profiles: map[string]members{}}
	doc, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exit: exitUnauthorised, code: codeNotSetUp,
			message: "Cannot read the config file: " + err.Error() + ".",
			hint:    "make it readable for you, or give another one: --config FILE"}
	}
	doc = plaintext.Content(doc)
	if len(bytes.TrimSpace(doc)) == 0 {
		return c, nil
	}
	bad := func(what string) error {
		return &failure{exit: exitUnauthorised, code: codeNotSetUp, message: what,
			hint: `repair it, or remove it and run "amtp setup --name <agent-name>"`}
	}
	if err := json.Unmarshal(doc, &c.members); err != nil || c.members == nil {
		return nil, bad(fmt.Sprintf("The config file %s is not a JSON object.", file))
	}
	if raw, ok := c.members[memberProfiles]; ok {
		if err := json.Unmarshal(raw, &c.profiles); err != nil || c.profiles == nil {
			return nil, bad(fmt.Sprintf("In the config file %s the member %q is not an object of objects.", file,
				memberProfiles))
		}
	}
	return c, nil
}

// of returns the members of a profile, and whether there is one. The default
// profile is always there.
func (c *configFile) of(name string) (members, bool) {
	if name == profileDefault {
		return c.members, true
	}
	m, ok := c.profiles[name]
	if m == nil {
		m = members{}
	}
	return m, ok
}

// change applies a change to what is in the file at that moment, while no other
// command changes it. The file is replaced as a whole, and only its owner can
// read it.
func (c *configFile) change(apply func(now *configFile) error) error {
	unlock, err := lockConfig(c.file)
	if err != nil {
		return notSaved(err)
	}
	defer unlock()
	now, err := readConfig(c.file)
	if err != nil {
		return err
	}
	if err := apply(now); err != nil {
		return err
	}
	if delete(now.members, memberProfiles); len(now.profiles) > 0 {
		if now.members[memberProfiles], err = json.Marshal(now.profiles); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(now.members); err != nil {
		return err
	}
	if err := replaceFile(c.file, b.Bytes()); err != nil {
		return notSaved(err)
	}
	*c = *now
	return nil
}

// dropEmpty removes the file if it holds nothing, while no other command changes it.
func (c *configFile) dropEmpty() error {
	unlock, err := lockConfig(c.file)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := readConfig(c.file)
	if err != nil || len(now.members) > 0 {
		return err
	}
	return os.Remove(behindLinks(c.file))
}

func notSaved(err error) error {
	return &failure{exit: exitInternal, code: amtp.CodeInternal,
		message: "Cannot save the config file: " + err.Error() + ".",
		hint:    "make room, or give a file that you may write: --config FILE"}
}

// replaceFile writes a file that only its owner can read, whole or not at all.
// A symbolic link stays one.
func replaceFile(name string, content []byte) error {
	name = behindLinks(name)
	f, err := os.CreateTemp(filepath.Dir(name), ".amtp-*.tmp") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// behindLinks is the file that a symbolic link leads to.
func behindLinks(name string) string {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		return target
	}
	return name
}
