package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/openapi/replay"
	"github.com/amtp-go/amtp/internal/test/nowhere"
)

// told are the stories that the document's examples make up. Each has a gateway of its own
// with alice as an agent. A story lists its operations in order, with the caller of each.
// Every operation is in a story.
var told = []struct {
	settings []string
	steps    [][2]string
}{
	{nil, [][2]string{
		{"health", ""},
		{"ready", ""},
		{"registerAgent", "admin"},
		{"sendMessage", "alice"},
		{"whoAmI", "bob"},
		{"listMessages", "alice"},
		{"getMessage", "alice"},
		{"getMessageStatus", "alice"},
		{"searchMessages", "bob"},
		{"labelMessage", "alice"},
		{"readInbox", "bob"},
		{"listThreads", "bob"},
		{"getThread", "bob"},
		{"markRead", "bob"},
		{"claim", "bob"},
		{"extendLease", "bob"},
		{"giveBack", "bob"},
		{"acknowledge", "bob"},
		{"acknowledgeAll", "bob"},
		{"discoverAgents", ""},
		{"discoverAgentsOfDomain", ""},
		{"listAgents", "admin"},
		{"getAgent", "bob"},
		{"issueKey", "bob"},
		{"listKeys", "bob"},
		{"revokeKey", "bob"},
		{"updateAgent", "bob"},
		{"renewPushSecret", "bob"},
		{"deleteAgent", "bob"},
		{"inviteAgent", "admin"},
		{"join", ""},
		{"resume", "admin"},
	}},
	{nil, [][2]string{
		{"registerAgent", "admin"},
		{"sendMessage", "alice"},
		{"claim", "bob"},
		{"rejectMessage", "bob"},
	}},
	{nil, [][2]string{{"prepareDomain", "admin"}}},
	{[]string{"AMTP_DOMAIN=shop.example"}, [][2]string{
		{"listSigningKeys", "admin"},
		{"makeSigningKey", "admin"},
		{"retireSigningKey", "admin"},
	}},
	{[]string{"AMTP_DOMAIN=shop.example"}, [][2]string{
		{"makeSigningKey", "admin"},
		{"useSigningKey", "admin"},
	}},
	{[]string{"AMTP_DOMAIN=shop.example"}, [][2]string{
		{"listDomainKeys", ""},
		{"answerPeer", ""},
		{"addPeer", "admin"},
		{"listPeers", "admin"},
		{"checkPeer", "admin"},
		{"removePeer", "admin"},
	}},
}

// unanswered is the document's gateway that does not answer. The test replaces it with an
// address at which no program listens.
const unanswered = "https://192.168.1.7:8443"

// TestExamplesAreReal makes the requests that the document shows, one after the other, at a
// real gateway. It compares the answers with those in the document. Ids, keys and times may
// differ, each in the same way throughout.
func TestExamplesAreReal(t *testing.T) {
	examples, err := replay.Examples()
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(examples)
	delete(left, "followInbox")                               // has no end: TestEvents
	delete(left, "getOpenAPI")                                // shows only how it begins
	delete(left, "showLimits")                                // its numbers are those of a day: TestLimitsAreShown
	changes := map[string]bool{"POST /v1/admin/resume": true} // cli.TestBackupAndRestore has a pause
	for _, story := range told {
		s := script{world: start(t, story.settings...),
			real: map[string]string{unanswered: "https://" + nowhere.Address(t).String()}, changes: changes}
		s.agent("alice")
		for _, step := range story.steps {
			s.tell(examples, step[0], step[1])
			delete(left, step[0])
		}
	}
	tellOfTheQueue(t, examples, left, changes)
	tellOfTheCertificate(t, examples, left, changes)
	for route, sentence := range httpapi.Changes() {
		if sentence != "" && !changes[route] {
			t.Errorf("no example shows that %s is logged", route)
		}
	}
	if len(left) > 0 {
		t.Errorf("no story has a place for %v", slices.Sorted(maps.Keys(left)))
	}
}

// script is a story while it is played.
type script struct {
	*world
	real map[string]string // a text of the examples → the real text of this run
	// changes are the operations that were logged.
	changes map[string]bool
}

// tell plays the example of an operation.
func (s *script) tell(examples map[string]replay.Example, operation, who string) {
	s.t.Helper()
	e, ok := examples[operation]
	if !ok {
		s.t.Fatalf("the document has no operation %s", operation)
	}
	s.play(e, who)
}

func (s *script) play(e replay.Example, who string) {
	s.t.Helper()
	if e.Operation == "searchMessages" {
		s.indexed(who)
	}
	key := "Accept: */*"
	switch who {
	case "":
	case "admin":
		key = "X-Admin-Key: " + s.admin
	default:
		key = s.as(who)
	}
	path := s.translate(e.Path)
	got := s.do(e.Method, path, s.translate(string(e.Body)), key)
	if fmt.Sprint(got.status) != e.Status {
		s.t.Fatalf("%s: got %d %s, the document shows %s", e.Operation, got.status, got.raw, e.Status)
	}
	request, err := http.NewRequest(e.Method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if who != "" && who != "admin" {
		who = who + "@"
	}
	if s.logged(request, got, who) != "" {
		s.changes[httpapi.Reached(request)] = true
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

// translate replaces texts of the examples by the real ones. If one text begins with
// another, the longer one is replaced first.
func (s *script) translate(text string) string {
	var pairs []string
	for _, shown := range slices.Backward(slices.Sorted(maps.Keys(s.real))) {
		pairs = append(pairs, shown, s.real[shown])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// forms match the texts that differ from run to run.
var forms = []*regexp.Regexp{
	regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`),
	regexp.MustCompile(`^key_[0-9a-f]{12}$`),
	regexp.MustCompile(`^https?://[a-z0-9.:]+$`),
	regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`),
	regexp.MustCompile(`^amtp_[A-Za-z0-9_-]{43}$`),
	regexp.MustCompile(`^whsec_[A-Za-z0-9+/]{43}=$`),
	regexp.MustCompile(`^/[^ ]*/cert\.pem$`),
	regexp.MustCompile(`^[0-9a-f]{10,16}$`),
	regexp.MustCompile(`^[0-9]{8}(-[0-9]+)?(\._amtpkey\.shop\.example)?$`),
	regexp.MustCompile(`^v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==$`),
}

// same compares the shown answer with the real one and returns where they differ.
func (s *script) same(shown, real any, at string) string {
	switch shown := shown.(type) {
	case map[string]any:
		other, _ := real.(map[string]any)
		if !slices.Equal(slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(other))) {
			return fmt.Sprintf("%s has the members %v, not %v", at, slices.Sorted(maps.Keys(other)),
				slices.Sorted(maps.Keys(shown)))
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
	return s.translate(shown) == real
}
