package httpapi

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Bounds of parameters.
const (
	defaultLimit = 100
	maxLimit     = 1000 // also the default for agents, for programs that do not ask for further pages
	maxParameter = 512  // bytes of one value
	maxWait      = 30 * time.Second

	defaultThreads, maxThreads = 50, 200 // each is described by up to 100 of its messages
)

// params are the query parameters of a request. The first bad one is kept in
// err; readers after it return zero values.
type params struct {
	values url.Values
	err    error
}

func (c *call) params() *params {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	p := &params{values: values}
	if err != nil {
		p.fail(amtp.CodeInvalidParameter, "The query cannot be read; encode its parameters.")
	}
	for name, list := range values {
		if len(list) > 1 {
			p.fail(amtp.CodeInvalidParameter, "The parameter %.40q is in the query more than once.", name)
		}
		if len(list[0]) > maxParameter {
			p.fail(amtp.CodeInvalidParameter, "The parameter %.40q is longer than %d bytes.", name, maxParameter)
		}
		if !gateway.Storable(list[0]) {
			p.fail(amtp.CodeInvalidParameter, "The parameter %.40q has a control character or is not UTF-8.", name)
		}
	}
	return p
}

func (p *params) fail(code amtp.Code, format string, args ...any) {
	if p.err == nil {
		p.err = amtp.Errorf(code, format, args...)
	}
}

func (p *params) text(name string) string { return p.values.Get(name) }

func (p *params) limit() int {
	return p.number("limit", defaultLimit, 1, maxLimit, amtp.CodeInvalidLimit)
}

func (p *params) agentLimit() int {
	return p.number("limit", maxLimit, 1, maxLimit, amtp.CodeInvalidLimit)
}

func (p *params) offset() int {
	return p.number("offset", 0, 0, gateway.MaxOffset, amtp.CodeInvalidOffset)
}

func (p *params) number(name string, absent, low, high int, code amtp.Code) int {
	s := p.text(name)
	if s == "" {
		return absent
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		p.fail(code, "%s must be between %d and %d", name, low, high)
	}
	return n
}

func (p *params) flag(name string) bool {
	switch s := p.text(name); s {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	default:
		p.fail(amtp.CodeInvalidParameter, "%s must be true or false", name)
		return false
	}
}

func (p *params) since() time.Time { return p.time("since", amtp.CodeInvalidSince) }

// time reads a date and time, the zero time for none.
func (p *params) time(name string, code amtp.Code) time.Time {
	s := p.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		p.fail(code, "%s must be a date and time with a zone, such as 2026-01-31T12:00:00Z", name)
	}
	return t
}

// wait reads a number of seconds, or a duration such as 10s.
func (p *params) wait() time.Duration {
	s := p.text("wait")
	if s == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(s); err == nil {
		s = strconv.Itoa(seconds) + "s"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxWait {
		p.fail(amtp.CodeInvalidParameter, "wait must be between 0 and 30 seconds")
	}
	return d
}

func (p *params) address(name string) amtp.Address {
	s := p.text(name)
	if s == "" {
		return amtp.Address{}
	}
	a, err := amtp.ParseAddress(s)
	if err != nil {
		p.fail(amtp.CodeInvalidParameter, "%s: %v", name, err)
	}
	return a
}

// messageID reads the id of a message, "" for none.
func (p *params) messageID(name string) amtp.MessageID {
	s := p.text(name)
	if s == "" {
		return ""
	}
	id, err := amtp.ParseMessageID(s)
	if err != nil {
		p.fail(amtp.CodeInvalidParameter, "%s: %v", name, err)
	}
	return id
}

// label reads the name of a label.
func (p *params) label() string {
	s := p.text("label")
	if s == "" {
		return ""
	}
	name, err := gateway.ParseLabel(s)
	if err != nil {
		p.fail(amtp.CodeInvalidParameter, "label: %v", err)
	}
	return name
}

// oneOf reads a word from a list; absent is "".
func (p *params) oneOf(name string, words ...string) string {
	s := p.text(name)
	if s == "" {
		return ""
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	p.fail(amtp.CodeInvalidParameter, "%s must be one of: %s", name, strings.Join(words, ", "))
	return ""
}

// cursorBase is the base of the numbers in cursors. Cursors are opaque: a list accepts
// only a cursor that it gave out.
const cursorBase = 36

// series is a list, by the letter that its cursors begin with.
type series byte

// The lists that have cursors.
const (
	ofInbox    series = 'i'
	ofMessages series = 'm'
	ofThread   series = 't' // the messages of a thread
	ofThreads  series = 'c'
	ofSearch   series = 'f'
	ofQueue    series = 'q'
	ofDead     series = 'd'
	ofListed   series = 'a' // the agents that discovery shows
	ofHidden   series = 's' // the same list, after an agent that discovery does not show; sealed
	ofAgents   series = 'r' // the administrator's list of registered agents
)

// text is the cursor after a number of the list.
func (l series) text(seq int64) string { return string(rune(l)) + strconv.FormatInt(seq, cursorBase) }

// cursor reads the number after which a list goes on, from the parameter cursor or from
// after, its older name.
func (p *params) cursor(of series) int64 {
	name := p.cursorName()
	if p.text(name) == "" {
		return 0
	}
	return p.place(of, name, p.text(name))
}

// place reads the number that a cursor of the list has in s.
func (p *params) place(of series, name, s string) int64 {
	var n int64
	err := strconv.ErrSyntax
	if s[0] == byte(of) {
		n, err = strconv.ParseInt(s[1:], cursorBase, 64)
	}
	if err != nil || n < 0 || of.text(n) != s {
		p.fail(amtp.CodeInvalidParameter, "%s must be a next_cursor that this list gave", name)
		return 0
	}
	return n
}

// cursorName is the name of the parameter that has the cursor.
func (p *params) cursorName() string {
	if p.text("after") == "" {
		return "cursor"
	}
	if p.text("cursor") != "" {
		p.fail(amtp.CodeInvalidParameter, "cursor and after are two names of one parameter; give one of them")
	}
	return "after"
}

// agentText is the cursor after an agent, "" if no agent follows.
func (l series) agentText(more bool, key string) string {
	if !more {
		return ""
	}
	return string(rune(l)) + base64.RawURLEncoding.EncodeToString([]byte(key))
}

// hiddenCursor is the context under which a cursor is sealed.
const hiddenCursor = "cursor of agents"

// hiddenCursorText is the cursor after an agent that the caller may not see.
func (s *Server) hiddenCursorText(key string) string {
	sealed, err := s.Seal.Close(hiddenCursor, "", []byte(key))
	if err != nil {
		return "" // without a seal there is no cursor; every gateway has a seal
	}
	return string(rune(ofHidden)) + base64.RawURLEncoding.EncodeToString(sealed)
}

// agentCursor reads the key of the agent after which a list goes on.
func (s *Server) agentCursor(p *params, of series) string {
	name := p.cursorName()
	text := p.text(name)
	if text == "" {
		return ""
	}
	if data, err := base64.RawURLEncoding.DecodeString(text[1:]); err == nil {
		if of == ofListed && text[0] == byte(ofHidden) {
			if key, err := s.Seal.Open(hiddenCursor, "", data); err == nil {
				return string(key)
			}
		}
		if a, err := amtp.ParseAddress(string(data)); err == nil && of.agentText(true, a.Key()) == text {
			return a.Key()
		}
	}
	p.fail(amtp.CodeInvalidParameter, "%s must be a next_cursor that this list gave", name)
	return ""
}
