package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// The members of a profile. Others are kept as they are.
const (
	memberGateway  = "gatewayUrl"
	memberName     = "agentName"
	memberAddress  = "agentAddress"
	memberKey      = "apiKey"
	memberPin      = "gatewayPin"  // of the gateway's certificate, see amtp.Pin
	memberUser     = "gatewayUser" // who runs the gateway, on this machine
	memberAdminKey = "adminKey"
	memberAdminFor = "adminKeyGateway" // whose adminKey it is; absent: gatewayUrl's

	memberSince = "agentCreated" // when the agent was registered: a later one of that name is another

	memberRegistering = "registering" // see registering; while a registration is not answered
)

// ofAgent are the members that say who the agent is, and ofGateway those that say how
// its gateway is known.
var (
	ofAgent   = []string{memberName, memberAddress, memberKey, memberSince, memberUser, memberRegistering}
	ofGateway = []string{memberGateway, memberPin}
)

// without adds the members to the changes that take them away.
func without(changes map[string]string, members []string) map[string]string {
	for _, m := range members {
		changes[m] = ""
	}
	return changes
}

// identity is who the user is at which gateway, from the flags, the environment
// and one profile of the config file. A profile that --profile names goes before
// the environment, any other behind it.
type identity struct {
	*configFile
	profile  string // its name
	chosenBy string // see choose
	absent   bool   // the file has no such profile yet

	byProject bool // a project's file chose the profile
	gateway   string
	name      string
	address   string
	key       string
	adminKey  string
	pin       *amtp.Pin // by which the gateway is known; nil: by its authority
	saves     bool      // what the profile says of the agent is said of this gateway

	unpinned *http.Client // how gateways are reached that are known by no pin
}

// identity reads the file, which need not exist, and the environment.
func (p *program) identity() (*identity, error) {
	file := p.configFile
	if file == "" {
		if p.home == "" {
			return nil, usageErrorf("There is no home directory: set HOME, or give --config FILE.")
		}
		file = p.usualConfig()
	}
	c, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	id := &identity{configFile: c}
	if id.profile, id.chosenBy, err = p.choose(c); err != nil {
		return nil, err
	}
	id.byProject = filepath.Base(id.chosenBy) == projectFile
	_, there := c.of(id.profile)
	id.absent = !there
	id.resolve(p)
	if err := id.checkKeys(p); err != nil {
		return nil, err
	}
	if err := id.knowGateway(p); err != nil {
		return nil, err
	}
	p.name = id.name
	p.keyOfEnv = id.key != "" && id.key == p.getenv("AMTP_API_KEY") && id.key != id.saved(memberKey)
	if id.byProject && !p.silent {
		p.notef("As %s, profile %s, chosen by %s.\n", firstOf(clean(id.address), "nobody yet"), clean(id.profile),
			clean(id.chosenBy))
	}
	return id, nil
}

// usualConfig is the config file where nobody names another one.
func (p *program) usualConfig() string { return filepath.Join(p.home, ".amtp-config.json") }

// resolve finds out who the user is. A key goes only to the gateway that it is
// for: a profile's to that profile's, and one of the environment, beside a
// profile that goes before it, not to another than the environment's.
func (id *identity) resolve(p *program) {
	env := p.getenv
	key, adminKey := env("AMTP_API_KEY"), env("AMTP_ADMIN_KEY")
	first := func(environment, profile string) string { return firstOf(environment, profile) }
	if id.chosenBy == byFlag {
		first = func(environment, profile string) string { return firstOf(profile, environment) }
	}
	id.gateway = firstOf(p.gateway, first(env("AMTP_GATEWAY_URL"), id.saved(memberGateway)))
	id.name = first(env("AMTP_AGENT_NAME"), id.saved(memberName))
	if theirs := env("AMTP_GATEWAY_URL"); id.chosenBy == byFlag && theirs != "" && !sameGateway(theirs, id.gateway) {
		key, adminKey = "", ""
	}
	id.key, id.adminKey = key, adminKey
	id.saves = mayGo(id.saved(memberGateway), id.gateway)
	if id.saves {
		id.key = first(key, id.saved(memberKey))
		if id.key == id.saved(memberKey) { // another key may be another agent's
			id.address = id.saved(memberAddress)
		}
	}
	if mayGo(firstOf(id.saved(memberAdminFor), id.saved(memberGateway)), id.gateway) {
		id.adminKey = first(adminKey, id.saved(memberAdminKey))
	}
}

// checkKeys refuses a key that could not be sent, and says where it stands.
func (id *identity) checkKeys(p *program) error {
	for _, k := range []struct{ key, variable, member string }{
		{id.key, "AMTP_API_KEY", memberKey}, {id.adminKey, "AMTP_ADMIN_KEY", memberAdminKey},
	} {
		odd := plaintext.Odd(k.key)
		if odd == "" {
			continue
		}
		place, hint := k.member+" in "+id.file, `write the key as "amtp setup" saved it, or run that again`
		if k.key == p.getenv(k.variable) {
			place, hint = k.variable, "set "+k.variable+" to the key alone"
		}
		return &failure{exit: exitUnauthorised, code: codeNotSetUp, hint: hint,
			message: place + " cannot be a key: it has " + odd + " in it."}
	}
	return nil
}

// knowGateway finds out as whom the gateway runs, if it is on this machine, and whether
// it is known by a pin, and has the program speak with no other then.
func (id *identity) knowGateway(p *program) error {
	text, user := p.getenv("AMTP_GATEWAY_PIN"), p.getenv("AMTP_GATEWAY_USER")
	if id.saves {
		text, user = firstOf(text, id.saved(memberPin)), firstOf(user, id.saved(memberUser))
	}
	p.runsAs = firstOf(p.runsAs, user)
	if text = firstOf(p.pin, text); text == "" {
		return nil
	}
	pin, err := amtp.ParsePin(text)
	if err != nil {
		return usageErrorf("The pin of the gateway cannot be used: %s", sentence(err))
	}
	id.unpinned = p.http
	id.pin, p.http = &pin, pin.HTTP()
	return nil
}

// pinText is the pin as it is saved, "" for none.
func (id *identity) pinText() string {
	if id.pin == nil {
		return ""
	}
	return id.pin.String()
}

// named reports whether a profile of its own is used, and not the identity that
// stands in the file itself.
func (id *identity) named() bool { return id.profile != profileDefault }

// mayGo reports whether a key that the file has for the gateway at holder may
// go to the gateway that is used. A file without a gateway was written by hand,
// for one on this machine.
func mayGo(holder, used string) bool {
	if holder == "" {
		return used == "" || loopback.IsURL(used)
	}
	return sameGateway(holder, used)
}

// saved returns a text of the profile, "" when it has none.
func (id *identity) saved(member string) string {
	m, _ := id.of(id.profile)
	return plaintext.Word(m.text(member))
}

// noProfile says that the profile which was chosen is not there.
func (id *identity) noProfile() error {
	return &failure{exit: exitUnauthorised, code: codeNotSetUp,
		message: fmt.Sprintf("There is no profile %q in %s; it was chosen by %s.", id.profile, id.file, id.chosenBy),
		hint: fmt.Sprintf("run %q, or choose one of %q", "amtp setup --profile "+id.profile+" --name <agent-name>",
			"amtp profile list")}
}

// again is what a command that is suggested must repeat of this one, to be about the
// same agent at the same gateway.
func (p *program) again() (flags string) {
	for _, f := range []struct{ name, value string }{{"profile", p.profile}, {"config", p.configFile},
		{"gateway", p.gateway}} {
		if f.value != "" {
			flags += " --" + f.name + " " + shellWord(clean(f.value))
		}
	}
	return flags
}

// checkGateway refuses what is no URL, and says how it is written.
func checkGateway(base string) error {
	u, err := url.Parse(base)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	f := usageErrorf("The gateway's URL cannot be %q.", base)
	f.hint = "write it as https://gateway.example, or http://127.0.0.1:8080 for one on this machine"
	if !strings.Contains(base, "://") {
		scheme := "https://"
		if loopback.IsURL("http://" + base) {
			scheme = "http://"
		}
		f.hint = "write it as " + scheme + base
	}
	return f
}

// need returns the failure for the first of the settings that is not known.
func (id *identity) need(settings ...string) error {
	for _, m := range settings {
		switch {
		case m == memberGateway && id.gateway == "":
			return missing(m, "Set AMTP_GATEWAY_URL env var or run setup first.")
		case m == memberGateway:
			if err := checkGateway(id.gateway); err != nil {
				return err
			}
		case m == memberAddress && id.address == "" && id.key == "":
			return id.elsewhere(missing(m, `Run "amtp setup" first.`))
		case m == memberKey && id.key == "":
			return id.elsewhere(missing(m, `Run "amtp setup" first, or set AMTP_API_KEY.`))
		case m == memberName && id.name == "":
			return missing(m, "Set AMTP_AGENT_NAME env var or run setup first.")
		}
	}
	return nil
}

// elsewhere adds to a failure that the file has a key, but for another gateway.
func (id *identity) elsewhere(f *failure) *failure {
	if !id.saves && id.saved(memberKey) != "" {
		f.hint = fmt.Sprintf("the saved key is for %s; set AMTP_API_KEY, or run %q",
			firstOf(id.saved(memberGateway), "a gateway on this machine"),
			"amtp setup --name "+firstOf(id.name, "<agent-name>")+" --gateway "+id.gateway+" --profile PROFILE")
	}
	return f
}

// is reports whether the profile is the agent of that name at the gateway in use.
func (id *identity) is(name string) bool {
	return id.saved(memberKey) != "" && !id.isOther(name, id.gateway)
}

// isOther reports whether the profile holds the key of another agent than that of the
// name at the gateway.
func (id *identity) isOther(name, gateway string) bool {
	m, _ := id.of(id.profile)
	return m.text(memberKey) != "" &&
		!(sameAgent(firstOf(m.text(memberName), m.text(memberAddress)), name) &&
			sameGateway(firstOf(m.text(memberGateway), defaultGateway), gateway))
}

// mayBecome refuses to give the profile another identity than it has: the key that is
// saved may be the only one.
func (id *identity) mayBecome(name, gateway string) error {
	if !id.isOther(name, gateway) {
		return nil
	}
	return id.taken("give the new identity a profile of its own: --profile " + name +
		"; to forget the one that is saved: amtp profile remove " + id.profile + " --yes")
}

// taken says whose the profile is.
func (id *identity) taken(hint string) error {
	return &failure{exit: exitConflict, code: amtp.CodeConflict, hint: hint,
		message: fmt.Sprintf("The profile %s in %s is %s already, at %s.", id.profile, id.file,
			firstOf(id.saved(memberAddress), id.saved(memberName), "somebody"),
			firstOf(id.saved(memberGateway), "a gateway on this machine"))}
}

// become saves who the profile is from now on. What another command saved in it
// meanwhile is kept.
func (id *identity) become(name, gateway string, changes map[string]string) error {
	return id.saveIf(changes, func() error { return id.mayBecome(name, gateway) })
}

// save changes members of the profile and keeps all others; an empty text
// removes one, and a profile without any is removed. A saved admin key stays
// that of its gateway when the profile gets another one.
func (id *identity) save(changes map[string]string) error {
	return id.saveIf(changes, func() error { return nil })
}

// saveIf saves unless the file, as it is at that moment, makes that a mistake.
func (id *identity) saveIf(changes map[string]string, check func() error) error {
	return id.change(func(now *configFile) error {
		before := *id.configFile
		*id.configFile = *now
		if err := check(); err != nil {
			*id.configFile = before
			return err
		}
		m, _ := now.of(id.profile)
		from := m.text(memberGateway)
		if to := changes[memberGateway]; to != "" && m.text(memberAdminKey) != "" && m.text(memberAdminFor) == "" &&
			!mayGo(from, to) {
			changes[memberAdminFor] = firstOf(from, defaultGateway)
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
		case id.named() && len(m) > 0:
			now.profiles[id.profile] = m
		case id.named():
			delete(now.profiles, id.profile)
			if now.members.text(memberProfile) == id.profile {
				delete(now.members, memberProfile)
			}
		}
		return nil
	})
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
