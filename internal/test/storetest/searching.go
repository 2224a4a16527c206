package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// searching are the promises about the search.
func searching() []promise {
	return []promise{
		{"finds what the agent sent and received, acknowledged or not, newest first", findsOwn},
		{"each message has all terms", findsAllTerms},
		{"looks in subject, schema, addresses, payload and names of attachments", findsEverywhere},
		{"words are compared as in Words", findsFolded},
		{"no text of a query has another meaning", findsLiterally},
		{"an encrypted payload is not searched", findsNoCiphertext},
		{"never finds the mail of another agent", findsNothingElse},
		{"the successor of an agent finds nothing of its mail", findsNothingOld},
		{"filters by sender, time, schema and thread", findsFiltered},
		{"pages do not overlap, and Next is the Before of the page that follows", findsPages},
		{"a page ends before MaxBytes, but holds one message", findsBytes},
		{"a message that is not in the index yet counts in Behind", behindIndex},
		{"a message to which a retry added a recipient is taken up again", findsLate},
		{"a body that was purged is not found, and leaves the index", findsNoPurged},
		{"a body that a retry brought back is found", findsBroughtBack},
		{"IndexMail takes up each message once, in bounded steps", indexesOnce},
	}
}

// indexed takes all messages into the index, and returns how many it took up.
func (w *world) indexed() (n int) {
	w.Helper()
	for range 10_000 {
		did, err := w.store.IndexMail(w.ctx, 7)
		if err != nil {
			w.Fatalf("IndexMail = %v, want no error; after %d", err, n)
		}
		if n += did.Messages; !did.More {
			return n
		}
	}
	w.Fatalf("IndexMail has More after 10,000 calls; want it to end")
	return n
}

// query reads the text of a search.
func (w *world) query(text string) gateway.Query {
	w.Helper()
	q, err := gateway.ParseQuery(text)
	if err != nil {
		w.Fatalf("ParseQuery = %v, want a query; input %q", err, text)
	}
	return q
}

func (w *world) search(p person, f gateway.SearchFilter) gateway.SearchPage {
	w.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	page, err := w.store.Search(w.ctx, gateway.Acting{Agent: p.ID}, f)
	if err != nil {
		w.Fatalf("Search = %v, want no error; agent %s, filter %+v", err, p.Address, f)
	}
	return page
}

// searches checks what the agent finds with a text.
func (w *world) searches(p person, text string, want ...amtp.MessageID) {
	w.Helper()
	w.foundBy(text, p, gateway.SearchFilter{Query: w.query(text)}, want...)
}

func (w *world) foundBy(what string, p person, f gateway.SearchFilter, want ...amtp.MessageID) {
	w.Helper()
	page := w.search(p, f)
	found := make([]amtp.MessageID, len(page.Messages))
	for i := range page.Messages {
		found[i] = page.Messages[i].ID
		if page.Messages[i].Size == 0 {
			w.Errorf("%s found %s without its body", what, found[i])
		}
	}
	sameList(w, fmt.Sprintf("what %s finds with %q", p.Address, what), found, want)
}

// postWith posts a message with these members.
func (w *world) postWith(from person, to []person, members map[string]any) amtp.MessageID {
	w.Helper()
	recipients := make([]string, len(to))
	for i, p := range to {
		recipients[i] = p.Address.String()
	}
	members["sender"], members["recipients"] = from.Address.String(), recipients
	b, err := json.Marshal(members)
	if err != nil {
		w.Fatalf("Marshal = %v, want a document", err)
	}
	return w.post(letter{from: from, to: to, doc: string(b)}).ID
}

func findsOwn(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first := w.post(letter{from: alice, to: []person{bob}, text: "the copper kettle"}).ID
	second := w.post(letter{from: bob, to: []person{alice, carol}, text: "a kettle of tea"}).ID
	abroad := w.post(letter{from: alice, far: []string{"dora@far.example"}, text: "kettle, far away"}).ID
	from := w.post(letter{remote: "dora@far.example", to: []person{bob}, class: gateway.ClassDomain,
		text: "kettle?"}).ID
	w.post(letter{from: alice, to: []person{bob}, text: "nothing of that"})
	w.ack(bob, first)
	same(w, "messages taken up", w.indexed(), 5)
	w.searches(alice, "kettle", abroad, second, first)
	w.searches(bob, "kettle", from, second, first)
	w.searches(carol, "kettle", second)
}

func findsAllTerms(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	both := w.post(letter{from: alice, to: []person{bob}, text: "annual report of the harbour"}).ID
	apart := w.post(letter{from: alice, to: []person{bob}, text: "report: the annual fair"}).ID
	other := w.post(letter{from: alice, to: []person{bob}, text: "reporting harbours"}).ID
	w.indexed()
	w.searches(bob, "annual report", apart, both)
	w.searches(bob, `"annual report"`, both)
	w.searches(bob, `"annual report" harbour`, both)
	w.searches(bob, `"report annual"`)
	w.searches(bob, "report", apart, both)
	w.searches(bob, "report*", other, apart, both)
	w.searches(bob, `"annual rep"*`, both)
	w.searches(bob, "harbour* report*", other, both)
	w.searches(bob, "re* ha*", other, both)
	w.searches(bob, "annual missing")
}

func findsEverywhere(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.postWith(alice, []person{bob}, map[string]any{
		"subject": "Lighthouse", "schema": "agntcy:commerce.order.v1",
		"payload": map[string]any{"key_of": []any{"deep", map[string]any{"deeper": "Submarine"}}, "number": 4711,
			"text": "first\nsecond"},
		"attachments": []map[string]any{{"filename": "quarter-three.pdf", "content_type": "application/pdf", "size": 1,
			"hash": "sha256:" + strings.Repeat("0", 64), "url": "https://files.example/secretpath"}},
	})
	w.indexed()
	for _, text := range []string{"lighthouse", "commerce", "submarine", "4711", "deep", `"first second"`, "quarter-three",
		"alice", "bob@shop.example"} {
		w.searches(bob, text, id)
	}
	for _, text := range []string{"key_of", "deeper", "secretpath", `"lighthouse agntcy"`, `"deep submarine"`} {
		w.searches(bob, text)
	}
}

func findsFolded(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, c := range []struct{ text, query string }{
		{"Überraschung in ZÜRICH", "überraschung zurich"},
		{"Cafe\u0301 noir", "café"},
		{"naïve", "NAIVE"},
		{"ΟΔΥΣΣΕΥΣ", "οδυσσευς"},
		{"Привет, мир", "ПРИВЕТ"},
		{"東京都の天気", "天気"},
		{"東京都の天気", "東京"},
		{"東京都の天気", "東京*"},
		{"ｆｕｌｌｗｉｄｔｈ", "fullwidth"},
		{"İstanbul", "istanbul"},
		{"नमस्ते दुनिया", "नमस्ते"},
		{"e-mail@host.example", "host"},
		{"x" + strings.Repeat("long", 40), "x" + strings.Repeat("long", 40)},
		{"emoji 🎉 party", "🎉 party"},
	} {
		id := w.post(letter{from: alice, to: []person{bob}, text: c.text}).ID
		w.indexed()
		page := w.search(bob, gateway.SearchFilter{Query: w.query(c.query)})
		if !slices.ContainsFunc(page.Messages, func(r gateway.Found) bool { return r.ID == id }) {
			w.Errorf("%q does not find %q", c.query, c.text)
		}
	}
}

func findsLiterally(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.post(letter{from: alice, to: []person{bob}, text: "near OR AND not words rowid entry"}).ID
	other := w.post(letter{from: alice, to: []person{bob}, text: "'quoted' & | ! <-> :* \\ %_ unquoted"}).ID
	w.indexed()
	for _, text := range []string{"AND", "or not", "NEAR or", "words:rowid", "^near", "{words} entry", `"and not`, "near + and",
		"not -near"} {
		w.searches(bob, text, id)
	}
	for _, text := range []string{"'quoted'", "quoted & unquoted", "!quoted", "quoted\\", "quoted;--", "%quoted_", "@quoted"} {
		w.searches(bob, text, other)
	}
	w.searches(bob, "quoted:A")
	w.searches(bob, "near | quoted")
	chance := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("ab\"'*&|!:()<->\\ ^{}+-~%_@#;,.ÄßΣ東🎉\u0301")
	for range 300 {
		text := make([]rune, 1+chance.IntN(30))
		for i := range text {
			text[i] = alphabet[chance.IntN(len(alphabet))]
		}
		if q, err := gateway.ParseQuery(string(text)); err == nil {
			f := gateway.SearchFilter{Query: q, Limit: 1}
			if _, err := w.store.Search(w.ctx, gateway.Acting{Agent: bob.ID}, f); err != nil {
				w.Errorf("Search = %v, want no error; input %q", err, string(text))
			}
		}
	}
}

func findsNoCiphertext(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.postWith(alice, []person{bob}, map[string]any{"subject": "sealed",
		"payload": map[string]any{"encrypted": true, "algorithm": "AES-256-GCM", "encrypted_data": "ciphertext"}})
	w.indexed()
	w.searches(bob, "sealed", id)
	w.searches(bob, "ciphertext")
}

// findsNothingElse sends random words among some agents, and compares every search with the
// messages that each of them has.
func findsNothingElse(w *world) {
	const people, letters = 5, 80
	chance := rand.New(rand.NewPCG(3, 4))
	cast := make([]person, people)
	for i := range cast {
		cast[i] = w.agent(fmt.Sprintf("agent%d", i))
	}
	words := []string{"amber", "basalt", "copper", "dolomite", "emerald"}
	want := make([]map[string][]amtp.MessageID, people)
	for i := range want {
		want[i] = map[string][]amtp.MessageID{}
	}
	for range letters {
		from := chance.IntN(people)
		has := map[int]bool{from: true}
		var to []person
		for _, i := range chance.Perm(people)[:1+chance.IntN(3)] {
			to, has[i] = append(to, cast[i]), true
		}
		text := []string{words[chance.IntN(len(words))], words[chance.IntN(len(words))]}
		id := w.post(letter{from: cast[from], to: to, text: strings.Join(text, " ")}).ID
		slices.Sort(text)
		for i := range has {
			for _, word := range slices.Compact(text) {
				want[i][word] = append([]amtp.MessageID{id}, want[i][word]...)
			}
		}
	}
	w.indexed()
	for i, p := range cast {
		for _, word := range words {
			w.searches(p, word, want[i][word]...)
		}
	}
}

func findsNothingOld(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.post(letter{from: alice, to: []person{bob}, text: "for the first bob"})
	w.indexed()
	w.remove(bob)
	namesake := w.agent("bob")
	w.searches(namesake, "first")
	id := w.post(letter{from: alice, to: []person{namesake}, text: "for the first reader again"}).ID
	w.indexed()
	w.searches(namesake, "first", id)
}

func findsFiltered(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first := w.postWith(alice, []person{bob}, map[string]any{"subject": "granite", "schema": "agntcy:commerce.order.v1"})
	second := w.postWith(carol, []person{bob}, map[string]any{"subject": "granite", "schema": "agntcy:commerce.order.v2"})
	between := w.now()
	answer := w.post(letter{from: bob, to: []person{alice}, text: "granite again", answers: first}).ID
	abroad := w.post(letter{remote: "dora@far.example", to: []person{bob}, class: gateway.ClassDomain, text: "granite"}).ID
	w.indexed()
	q := w.query("granite")
	for _, c := range []struct {
		what string
		f    gateway.SearchFilter
		want []amtp.MessageID
	}{
		{"from alice", gateway.SearchFilter{From: w.address("ALICE@shop.example")}, []amtp.MessageID{first}},
		{"from bob", gateway.SearchFilter{From: bob.Address}, []amtp.MessageID{answer}},
		{"from another domain", gateway.SearchFilter{From: w.address("Dora@far.example")}, []amtp.MessageID{abroad}},
		{"from nobody", gateway.SearchFilter{From: w.address("eve@far.example")}, nil},
		{"since", gateway.SearchFilter{Since: between}, []amtp.MessageID{abroad, answer}},
		{"since later", gateway.SearchFilter{Since: w.later(time.Hour)}, nil},
		{"schema", gateway.SearchFilter{Schema: "agntcy:commerce.order.v1"}, []amtp.MessageID{first}},
		{"pattern", gateway.SearchFilter{Schema: "agntcy:commerce.*"}, []amtp.MessageID{second, first}},
		{"another schema", gateway.SearchFilter{Schema: "agntcy:commerce.order.v11"}, nil},
		{"thread", gateway.SearchFilter{Thread: first}, []amtp.MessageID{answer, first}},
		{"all", gateway.SearchFilter{Thread: first, Since: between, From: bob.Address}, []amtp.MessageID{answer}},
	} {
		c.f.Query = q
		w.foundBy(c.what, bob, c.f, c.want...)
	}
}

func findsPages(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	var want, got []amtp.MessageID
	for range 7 {
		want = append([]amtp.MessageID{w.post(letter{from: alice, to: []person{bob}, text: "slate"}).ID}, want...)
		w.send(alice, bob)
	}
	w.indexed()
	f := gateway.SearchFilter{Query: w.query("slate"), Limit: 3}
	for pages := 1; ; pages++ {
		page := w.search(bob, f)
		for i := range page.Messages {
			got = append(got, page.Messages[i].ID)
		}
		if f.Before = page.Next; !page.HasMore {
			same(w, "pages", pages, 3)
			same(w, "Next of the last page", page.Next, 0)
			break
		}
	}
	sameList(w, "all pages", got, want)
}

func findsBytes(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.post(letter{from: alice, to: []person{bob}, text: "chalk " + strings.Repeat("x", 500)}).ID
	second := w.post(letter{from: alice, to: []person{bob}, text: "chalk " + strings.Repeat("y", 500)}).ID
	w.indexed()
	f := gateway.SearchFilter{Query: w.query("chalk"), MaxBytes: 600}
	w.foundBy("few bytes", bob, f, second)
	page := w.search(bob, f)
	same(w, "has more", page.HasMore, true)
	f.Before = page.Next
	w.foundBy("few bytes, second page", bob, f, first)
}

func behindIndex(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	q := gateway.SearchFilter{Query: w.query("marble")}
	w.post(letter{from: alice, to: []person{bob}, text: "marble"})
	same(w, "behind before the index is there", w.search(bob, q).Behind, 1)
	same(w, "behind for the sender", w.search(alice, q).Behind, 1)
	same(w, "behind for another", w.search(carol, q).Behind, 0)
	same(w, "found", len(w.search(bob, q).Messages), 0)
	w.indexed()
	page := w.search(bob, q)
	same(w, "behind", page.Behind, 0)
	same(w, "found when it is taken up", len(page.Messages), 1)
	w.post(letter{from: alice, to: []person{bob, carol}, text: "marble"})
	page = w.search(alice, q)
	same(w, "behind after another", page.Behind, 1)
	same(w, "found before it is taken up", len(page.Messages), 1)
}

func findsLate(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	l := letter{from: alice, to: []person{bob}, id: "token", text: "quartz"}
	id := w.post(l).ID
	w.post(letter{from: alice, to: []person{bob}, text: "another"})
	w.indexed()
	w.searches(carol, "quartz")
	l.to = []person{bob, carol}
	w.post(l)
	same(w, "behind for the late recipient", w.search(carol, gateway.SearchFilter{Query: w.query("quartz")}).Behind, 1)
	same(w, "taken up again", w.indexed(), 1)
	w.searches(carol, "quartz", id)
	w.searches(bob, "quartz", id)
	w.searches(alice, "quartz", id)
}

func findsNoPurged(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.post(letter{from: alice, to: []person{bob}, text: "feldspar"}).ID
	unread := w.post(letter{from: alice, to: []person{bob}, text: "feldspar as well"}).ID
	w.newest(alice, bob)
	w.indexed()
	w.ack(bob, id)
	w.purge(keep, w.later(keep.Acknowledged))
	w.searches(bob, "feldspar", unread)
	same(w, "taken up after a purge", w.indexed(), 0)
	w.searches(bob, "feldspar", unread)
	w.purge(keep, w.later(keep.Unacknowledged))
	w.purge(keep, w.later(keep.Status))
	w.indexed()
	w.searches(bob, "feldspar")
	w.searches(alice, "feldspar")
}

func findsBroughtBack(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	l := letter{from: alice, to: []person{bob}, id: "token", text: "obsidian"}
	id := w.post(l).ID
	w.indexed()
	w.ack(bob, id)
	w.purge(keep, w.later(keep.Acknowledged))
	w.ticks.Add(int64((40 * days) / time.Second))
	l.to = []person{bob, carol}
	w.post(l)
	w.indexed()
	w.searches(carol, "obsidian", id)
	w.searches(alice, "obsidian", id)
}

func indexesOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	did, err := w.store.IndexMail(w.ctx, 10)
	w.works("IndexMail of nothing", err)
	same(w, "taken up of nothing", did, gateway.Indexed{})
	for range 10 {
		w.post(letter{from: alice, to: []person{bob, alice}, far: []string{"dora@far.example"}, text: "opal"})
	}
	for _, want := range []gateway.Indexed{{Messages: 4, More: true}, {Messages: 4, More: true}, {Messages: 2}, {}} {
		did, err := w.store.IndexMail(w.ctx, 4)
		w.works("IndexMail", err)
		same(w, "newest is known", did.Newest > 0, true)
		did.Newest = 0
		same(w, "step", did, want)
	}
	same(w, "found", len(w.search(bob, gateway.SearchFilter{Query: w.query("opal")}).Messages), 10)
}

// indexAfterRestart: the index goes on where it was.
func indexAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.post(letter{from: alice, to: []person{bob}, text: "pumice"}).ID
	same(w, "taken up", w.indexed(), 1)
	second := w.post(letter{from: alice, to: []person{bob}, text: "pumice"}).ID
	w.restart()
	same(w, "taken up after the restart", w.indexed(), 1)
	w.searches(bob, "pumice", second, first)
}
