package profile

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/render"
)

// Given is what a program was told about the identity to act with.
type Given struct {
	Getenv  func(name string) string // of the environment; "" when unset
	Home    string                   // the user's home directory, "" when unknown
	File    string                   // the config file, "" for [UsualFile]
	Profile string                   // the profile, "" when none was named
	Gateway string                   // the gateway's URL, "" when none was named
	Pin     string                   // the pin of the gateway, "" when none was named

	// Note tells the user, in a sentence, of a project's file that has no effect. Nil tells
	// nobody.
	Note func(text string)
}

func (g Given) notef(format string, args ...any) {
	if g.Note != nil {
		g.Note(fmt.Sprintf(format, args...))
	}
}

// Identity says as which agent, and at which gateway, a command acts. It comes from the
// flags, the environment and one profile of the config file. A profile that --profile names
// takes precedence over the environment; the environment takes precedence over any other.
type Identity struct {
	*File
	Profile  string // its name
	ChosenBy string // the flag, variable, file or command that chose it; "" for none
	Absent   bool   // the file has no such profile yet

	ByProject bool // a project's file chose the profile
	Gateway   string
	Name      string
	Address   string
	Key       string
	AdminKey  string
	Pin       *amtp.Pin // by which the gateway is known; nil: by its authority
	RunsAs    string    // the user who runs the gateway on this machine, "" when it is not known
	KeyOfEnv  bool      // Key is the one in AMTP_API_KEY
	Saves     bool      // what the profile says of the agent is said of this gateway
}

// Identity reads the file, which need not exist, and the environment.
func (g Given) Identity() (*Identity, error) {
	file := g.File
	if file == "" {
		if g.Home == "" {
			return nil, usagef("There is no home directory: set HOME, or give --config FILE.")
		}
		file = UsualFile(g.Home)
	}
	f, err := Read(file)
	if err != nil {
		return nil, err
	}
	id := &Identity{File: f}
	if id.Profile, id.ChosenBy, err = g.choose(f); err != nil {
		return nil, err
	}
	id.ByProject = filepath.Base(id.ChosenBy) == ProjectFile
	_, there := f.Of(id.Profile)
	id.Absent = !there
	id.resolve(g)
	if err := id.checkKeys(g); err != nil {
		return nil, err
	}
	if err := id.knowGateway(g); err != nil {
		return nil, err
	}
	id.KeyOfEnv = id.Key != "" && id.Key == g.Getenv("AMTP_API_KEY") && id.Key != id.Saved(MemberKey)
	return id, nil
}

// UsualFile is the path of the config file where nothing names another one.
func UsualFile(home string) string { return filepath.Join(home, ".amtp-config.json") }

// resolve finds out which agent the user is. A key goes only to the gateway that it is for:
// a profile's key to that profile's gateway. Where --profile names the profile, a key of
// the environment goes to no other gateway than the environment's.
func (id *Identity) resolve(g Given) {
	env := g.Getenv
	key, adminKey := env("AMTP_API_KEY"), env("AMTP_ADMIN_KEY")
	first := func(environment, profile string) string { return cmp.Or(environment, profile) }
	if id.ChosenBy == ByFlag {
		first = func(environment, profile string) string { return cmp.Or(profile, environment) }
	}
	id.Gateway = cmp.Or(g.Gateway, first(env("AMTP_GATEWAY_URL"), id.Saved(MemberGateway)))
	id.Name = first(env("AMTP_AGENT_NAME"), id.Saved(MemberName))
	if theirs := env("AMTP_GATEWAY_URL"); id.ChosenBy == ByFlag && theirs != "" && !SameGateway(theirs, id.Gateway) {
		key, adminKey = "", ""
	}
	id.Key, id.AdminKey = key, adminKey
	id.Saves = mayGo(id.Saved(MemberGateway), id.Gateway)
	if id.Saves {
		id.Key = first(key, id.Saved(MemberKey))
		if id.Key == id.Saved(MemberKey) { // another key may be another agent's
			id.Address = id.Saved(MemberAddress)
		}
	}
	if mayGo(cmp.Or(id.Saved(MemberAdminFor), id.Saved(MemberGateway)), id.Gateway) {
		id.AdminKey = first(adminKey, id.Saved(MemberAdminKey))
	}
}

// checkKeys refuses a key that could not be sent, and says where it stands.
func (id *Identity) checkKeys(g Given) error {
	for _, k := range []struct{ key, variable, member string }{
		{id.Key, "AMTP_API_KEY", MemberKey}, {id.AdminKey, "AMTP_ADMIN_KEY", MemberAdminKey},
	} {
		odd := plaintext.Odd(k.key)
		if odd == "" {
			continue
		}
		place, hint := k.member+" in "+id.Path, `write the key as "amtp setup" saved it, or run that again`
		if k.key == g.Getenv(k.variable) {
			place, hint = k.variable, "set "+k.variable+" to the key alone"
		}
		return &Error{Code: CodeNotSetUp, Hint: hint,
			Message: place + " cannot be a key: it has " + odd + " in it."}
	}
	return nil
}

// knowGateway finds out as which user the gateway runs, if it is on this machine, and
// whether it is known by a pin.
func (id *Identity) knowGateway(g Given) error {
	text, user := g.Getenv("AMTP_GATEWAY_PIN"), g.Getenv("AMTP_GATEWAY_USER")
	if id.Saves {
		text, user = cmp.Or(text, id.Saved(MemberPin)), cmp.Or(user, id.Saved(MemberUser))
	}
	id.RunsAs = user
	if text = cmp.Or(g.Pin, text); text == "" {
		return nil
	}
	pin, err := amtp.ParsePin(text)
	if err != nil {
		return usagef("The pin of the gateway cannot be used: %s", render.Sentence(err))
	}
	id.Pin = &pin
	return nil
}

// PinText is the pin as it is saved, "" for none.
func (id *Identity) PinText() string {
	if id.Pin == nil {
		return ""
	}
	return id.Pin.String()
}

// Named reports whether a profile with a name is used, and not the identity that stands in
// the file itself.
func (id *Identity) Named() bool { return id.Profile != Default }

// mayGo reports whether a key that the file has for the gateway at holder may
// go to the gateway that is used. A file without a gateway was written by hand,
// for one on this machine.
func mayGo(holder, used string) bool {
	if holder == "" {
		return used == "" || loopback.IsURL(used)
	}
	return SameGateway(holder, used)
}

// Saved returns a text of the profile, "" when it has none.
func (id *Identity) Saved(member string) string {
	m, _ := id.Of(id.Profile)
	return plaintext.Word(m.Text(member))
}

// NoProfile says that the profile which was chosen is not there.
func (id *Identity) NoProfile() *Error {
	return &Error{Code: CodeNotSetUp,
		Message: fmt.Sprintf("There is no profile %q in %s; it was chosen by %s.", id.Profile, id.Path, id.ChosenBy),
		Hint: fmt.Sprintf("run %q, or choose one of %q", "amtp setup --profile "+id.Profile+" --name <agent-name>",
			"amtp profile list")}
}

// CheckGateway refuses a text that is no URL of a gateway, and says how to write one.
func CheckGateway(base string) error {
	u, err := url.Parse(base)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	f := usagef("The gateway's URL cannot be %q.", base)
	f.Hint = "write it as https://gateway.example, or http://127.0.0.1:8080 for one on this machine"
	if !strings.Contains(base, "://") {
		scheme := "https://"
		if loopback.IsURL("http://" + base) {
			scheme = "http://"
		}
		f.Hint = "write it as " + scheme + base
	}
	return f
}

// Need returns the error for the first of the settings, named by their members, that is not
// known.
func (id *Identity) Need(settings ...string) error {
	for _, m := range settings {
		switch {
		case m == MemberGateway && id.Gateway == "":
			return Missing(m, "Set AMTP_GATEWAY_URL env var or run setup first.")
		case m == MemberGateway:
			if err := CheckGateway(id.Gateway); err != nil {
				return err
			}
		case m == MemberAddress && id.Address == "" && id.Key == "":
			return id.elsewhere(Missing(m, `Run "amtp setup" first.`))
		case m == MemberKey && id.Key == "":
			return id.elsewhere(Missing(m, `Run "amtp setup" first, or set AMTP_API_KEY.`))
		case m == MemberName && id.Name == "":
			return Missing(m, "Set AMTP_AGENT_NAME env var or run setup first.")
		}
	}
	return nil
}

// elsewhere adds to an error that the file has a key, but for another gateway.
func (id *Identity) elsewhere(f *Error) *Error {
	if !id.Saves && id.Saved(MemberKey) != "" {
		f.Hint = fmt.Sprintf("the saved key is for %s; set AMTP_API_KEY, or run %q",
			cmp.Or(id.Saved(MemberGateway), "a gateway on this machine"),
			"amtp setup --name "+cmp.Or(id.Name, "<agent-name>")+" --gateway "+id.Gateway+" --profile PROFILE")
	}
	return f
}

// SameAgent reports whether two names or addresses mean one agent of a gateway.
func SameAgent(a, b string) bool {
	a, _, _ = strings.Cut(a, "@")
	b, _, _ = strings.Cut(b, "@")
	return a != "" && strings.EqualFold(a, b)
}

// DefaultGateway is the URL at which "amtp serve" listens when no setting says another.
const DefaultGateway = "http://127.0.0.1:8080"

// SameGateway reports whether two URLs are the same but for the case of the
// host, the scheme's own port and slashes at the end.
func SameGateway(a, b string) bool { return plainURL(a) == plainURL(b) }

func plainURL(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	u.Host = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(u.Host), port), ":")
	return u.String()
}
