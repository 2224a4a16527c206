package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

// oddEnglish are phrases that were literal translations or that readers stumbled over,
// each with what to write instead.
var oddEnglish = []struct{ phrase, instead string }{
	{`stands? (in|at|beside|behind|below|before|there|here|twice|once|nowhere)`, "is in, is shown next to, follows"},
	{`mend(s|ed|ing)?`, "fix"},
	{`needs? beside`, "besides"},
	{`beside (Go|public|those of)`, "besides, in addition to"},
	{`is (none|no \S+) any more`, "is no longer"},
	{`makes? up`, "generates, invents"},
	{`also (when|while)`, "even when, even while"},
	{`goes? before (what|DNS|the environment)`, "takes precedence over"},
	{`belongs? into`, "belongs in"},
	{`looks? whether`, "check whether"},
	{`(give|to) himself`, "themselves"},
	{`find back`, "make it back"},
	{`be nobody`, "leave the gateway"},
	{`say (whose skills|AMTP_\w+)`, "choose, set"},
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
}

// TestPlainEnglish: no page has a phrase of oddEnglish. What the program prints is on
// the pages of the commands, the errors and the configuration, which are made from it.
func TestPlainEnglish(t *testing.T) {
	pages := readPages(t)
	for _, odd := range oddEnglish {
		phrase := regexp.MustCompile(`(?i)\b` + strings.ReplaceAll(odd.phrase, " ", `\s+`) + `(\W|$)`)
		for name, page := range pages {
			if name == "docs/api.md" && strings.HasPrefix(odd.phrase, "mend") { // a member of the answers
				continue
			}
			for _, at := range phrase.FindAllStringIndex(page, -1) {
				t.Errorf("%s:%d: %q: write instead: %s", name, 1+strings.Count(page[:at[0]], "\n"),
					page[at[0]:at[1]], odd.instead)
			}
		}
	}
}
