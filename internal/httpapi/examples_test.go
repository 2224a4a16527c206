package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/openapi/replay"
)

// told is the story that the examples of the document tell, in its order, and
// who makes each request. Alice is there before. Every operation has its place
// in it.
var told = []struct{ operation, who string }{
	{"health", ""},
	{"ready", ""},
	{"registerAgent", "admin"},
	{"sendMessage", "alice"},
	{"whoAmI", "bob"},
	{"listMessages", "alice"},
	{"getMessage", "alice"},
	{"getMessageStatus", "alice"},
	{"readInbox", "bob"},
	{"markRead", "bob"},
	{"acknowledge", "bob"},
	{"discoverAgents", ""},
	{"discoverAgentsOfDomain", ""},
	{"listAgents", "admin"},
	{"getAgent", "bob"},
	{"issueKey", "bob"},
	{"listKeys", "bob"},
	{"revokeKey", "bob"},
	{"updateAgent", "bob"},
	{"deleteAgent", "bob"},
	{"resume", "admin"},
}

// TestExamplesAreReal makes the requests that the document shows, one after the
// other, at a real gateway, and compares its answers with those that the
// document shows. Ids, keys and times may be others, each for itself.
func TestExamplesAreReal(t *testing.T) {
	w := start(t)
	w.agent("alice")
	examples, err := replay.Examples()
	if err != nil {
		t.Fatal(err)
	}
	delete(examples, "getOpenAPI") // shows only how it begins
	s := script{world: w, real: make(map[string]string)}
	for _, step := range told {
		e, ok := examples[step.operation]
		if !ok {
			t.Fatalf("the document has no operation %s", step.operation)
		}
		delete(examples, step.operation)
		s.play(e, step.who)
	}
	if left := slices.Sorted(maps.Keys(examples)); len(left) > 0 {
		t.Errorf("the story has no place for %v", left)
	}
}

// script is a story while it is played.
type script struct {
	*world
	real map[string]string // what stands in the examples → what it is here
}

func (s *script) play(e replay.Example, who string) {
	s.t.Helper()
	key := "Accept: */*"
	switch who {
	case "":
	case "admin":
		key = "X-Admin-Key: " + s.admin
	default:
		key = s.as(who)
	}
	got := s.do(e.Method, s.translate(e.Path), s.translate(string(e.Body)), key)
	if fmt.Sprint(got.status) != e.Status {
		s.t.Fatalf("%s: got %d %s, the document shows %s", e.Operation, got.status, got.raw, e.Status)
	}
	var shown, real any
	if err := json.Unmarshal(e.Answer, &shown); err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got.raw), &real); err != nil {
		s.t.Fatal(err)
	}
	if why := s.same(shown, real, "$"); why != "" {
		s.t.Errorf("%s: %s\nthe document shows %s\nthe gateway answers %s", e.Operation, why, e.Answer, got.raw)
	}
	if e.Operation == "registerAgent" {
		s.keys["bob"] = got.body["api_key"].(string)
	}
}

func (s *script) translate(text string) string {
	for shown, real := range s.real {
		text = strings.ReplaceAll(text, shown, real)
	}
	return text
}

// forms are the texts that are not the same twice.
var forms = []*regexp.Regexp{
	regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`),
	regexp.MustCompile(`^key_[0-9a-f]{12}$`),
	regexp.MustCompile(`^amtp_[A-Za-z0-9_-]{43}$`),
}

// same compares what is shown with what is real and returns where they differ.
func (s *script) same(shown, real any, at string) string {
	switch shown := shown.(type) {
	case map[string]any:
		other, _ := real.(map[string]any)
		if !slices.Equal(slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(other))) {
			return fmt.Sprintf("%s has the members %v, not %v", at, slices.Sorted(maps.Keys(other)), slices.Sorted(maps.Keys(shown)))
		}
		for name := range shown {
			if why := s.same(shown[name], other[name], at+"."+name); why != "" {
				return why
			}
		}
		return ""
	case []any:
		other, _ := real.([]any)
		if len(shown) != len(other) {
			return fmt.Sprintf("%s has %d elements, not %d", at, len(other), len(shown))
		}
		for i := range shown {
			if why := s.same(shown[i], other[i], fmt.Sprintf("%s[%d]", at, i)); why != "" {
				return why
			}
		}
		return ""
	case string:
		if other, ok := real.(string); ok && s.sameText(shown, other) {
			return ""
		}
	}
	if shown == real {
		return ""
	}
	return fmt.Sprintf("%s is %v, not %v", at, real, shown)
}

func (s *script) sameText(shown, real string) bool {
	_, err := time.Parse(time.RFC3339, shown)
	if _, err2 := time.Parse(time.RFC3339, real); err == nil && err2 == nil {
		return true
	}
	for _, form := range forms {
		if form.MatchString(shown) && form.MatchString(real) {
			if known := s.real[shown]; known != "" {
				return known == real
			}
			s.real[shown] = real
			return true
		}
	}
	return shown == real
}
