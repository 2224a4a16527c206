package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

// oddEnglish are phrases that were literal translations or that readers stumbled over,
// each in lower case and with what to write instead.
var oddEnglish = []struct{ phrase, instead string }{
	{`stands? (in|at|beside|behind|below|before|there|here|twice|once|nowhere)`, "is in, is shown next to, follows"},
	{`mend(s|ed|ing)?`, "fix"},
	{`needs? beside`, "besides"},
	{`beside (go|public|those of)`, "besides, in addition to"},
	{`is (none|no \S+) any more`, "is no longer"},
	{`makes? up`, "generates, invents"},
	{`also (when|while)`, "even when, even while"},
	{`goes? before (what|dns|the environment)`, "takes precedence over"},
	{`belongs? into`, "belongs in"},
	{`looks? whether`, "check whether"},
	{`(give|to) himself`, "themselves"},
	{`find back`, "make it back"},
	{`be nobody`, "leave the gateway"},
	{`say (whose skills|amtp_\w+)`, "choose, set"},
	{`does something not work`, "if something fails"},
	{`will not act on is`, "when you decide not to act"},
	{`from here for verified`, "treats as verified"},
	{`the one that was meant`, "matches the pin"},
	{`to poll without`, "polling without"},
	{`are inside\.`, "count as trusted"},
	{`is there, too\.`, "there is also"},
	{`as e-mail does`, "the way people do by e-mail"},
	{`attachments is not`, "are not"},
	{`make such a copy`, "restore from such a copy"},
	{`held to (it|its|sign)`, "must sign, is treated as under"},
	{`gives? way`, "is closed, is refused"},
	{`leaps?( ahead| over)?`, "skips"},
	{`stays? good`, "stays valid"},
	{`but for (the|who|what)`, "except"},
	{`the whole of it`, "all of it"},
	{`is borne`, "is retried, is accepted"},
	{`needs a hand`, "needs attention"},
	{`has peace`, "is not asked again"},
	{`(says|said) .* aloud`, "explicitly"},
	{`one that is over`, "has expired"},
}

// oddProse are such phrases in what people write: the pages that are made from the
// program, and the places of docs/tour.md, are judged where their texts are written.
var oddProse = []struct{ phrase, instead string }{
	{`nobody`, "no, with the noun: no gateway, no sender"},
	{`whoever`, "anyone who; or name them: a caller, the operator"},
	{`[.;:] who (has|is|sends|reads|shows|waits|wants|needs|cannot|publishes|acknowledges|finds)`,
		"put the noun before it: a sender that"},
	{`(for|to|by|of|but) who (has|is|sends|reads|shows|waits|wants|needs|proved|calls)`,
		"put the noun before it: for callers that"},
	{`beside`, "next to, besides, in addition to"},
	{`anew`, "again"},
	{`at the (most|least)`, "at most, at least"},
	{`also (after|over|when|while|where)`, "even after, even when"},
	{`since (less|more) than`, "for less than"},
	{`(is|are) away from`, "differs from"},
	{`(the|a) (disk|server|database|gateway|authority|recipient) is away`, "is unreachable, is offline"},
	{`is none of (ours|the)`, "is not one of"},
	{`gives nothing`, "does not help"},
	{`(reference|their) pieces`, "reference implementation"},
}

// madeFromTheProgram are the pages of which a test compares every line with the source.
var madeFromTheProgram = map[string]bool{
	"docs/api.md": true, "docs/cli.md": true, "docs/configuration.md": true, "docs/errors.md": true,
}

// TestPlainEnglish: no page has a phrase of oddEnglish, and no page that people write
// one of oddProse. What the program prints is on the pages of the commands, the errors
// and the configuration, which are made from it.
func TestPlainEnglish(t *testing.T) {
	pages := readPages(t)
	prose := make(map[string]string)
	for name, page := range pages {
		page = strings.ToLower(page)
		pages[name] = page
		if !madeFromTheProgram[name] {
			prose[name] = fence.ReplaceAllStringFunc(places.ReplaceAllStringFunc(page, blank), blank)
		}
	}
	for _, odd := range oddEnglish {
		refuse(t, pages, odd.phrase, odd.instead)
	}
	for _, odd := range oddProse {
		refuse(t, prose, odd.phrase, odd.instead)
	}
}

// refuse reports every place of the pages that has the phrase. Pages and phrases are in
// lower case and the phrase is not anchored, so that the search can skip to the
// next place with its first letters.
func refuse(t *testing.T, pages map[string]string, phrase, instead string) {
	t.Helper()
	odd := regexp.MustCompile(strings.ReplaceAll(phrase, " ", `\s+`) + `(\W|$)`)
	for name, page := range pages {
		if name == "docs/api.md" && strings.HasPrefix(phrase, "mend") { // a member of the answers
			continue
		}
		for _, at := range odd.FindAllStringIndex(page, -1) {
			if at[0] > 0 && inWord(page[at[0]-1]) && inWord(page[at[0]]) {
				continue // the end of a longer word
			}
			t.Errorf("%s:%d: %q: write instead: %s", name, 1+strings.Count(page[:at[0]], "\n"),
				page[at[0]:at[1]], instead)
		}
	}
}

func inWord(c byte) bool { return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' }

// blank returns as many lines as the text has, without anything on them.
func blank(text string) string { return strings.Repeat("\n", strings.Count(text, "\n")) }

// mostWords is how many words a sentence of our pages has at the most. Twenty are the
// aim (CONTRIBUTING.md); a sentence that lists things may need more.
const mostWords = 36

var (
	frontMatter = regexp.MustCompile(`(?s)\A---\n.*?\n---\n`)
	notProse    = regexp.MustCompile(`(?m)^(\||#|<!--|    ).*$`)
	itemBegins  = regexp.MustCompile(`\n\s*\n|\n\s*([-*]|\d+\.) `)
	sentenceEnd = regexp.MustCompile(`[.;:?!][*)]*\s+`)
	linkTarget  = regexp.MustCompile(`\]\([^)]*\)`)
)

// TestSentencesAreShort: no sentence that people write on a page has more words than
// mostWords. A code span is one word; tables, headings and code are left out.
func TestSentencesAreShort(t *testing.T) {
	looked := 0
	for name, page := range readPages(t) {
		if madeFromTheProgram[name] {
			continue
		}
		page = fence.ReplaceAllString(places.ReplaceAllString(frontMatter.ReplaceAllString(page, ""), ""), "")
		page = notProse.ReplaceAllString(page, "")
		for _, paragraph := range itemBegins.Split(page, -1) {
			plain := inCode.ReplaceAllString(linkTarget.ReplaceAllString(paragraph, "]"), "code")
			for _, sentence := range sentenceEnd.Split(plain, -1) {
				looked++
				if n := len(strings.Fields(sentence)); n > mostWords {
					t.Errorf("%s: a sentence has %d words, want %d or fewer: %s", name, n, mostWords,
						strings.Join(strings.Fields(sentence), " "))
				}
			}
		}
	}
	if looked < 1000 {
		t.Errorf("looked at %d sentences, want 1000 or more: are they not found any more?", looked)
	}
}
