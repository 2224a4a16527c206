package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
)

// timedFlags are the flags that set the headers on which a gateway acts.
type timedFlags struct {
	answerBy, expires, priority string
}

func (f *timedFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.answerBy, "answer-by", "",
		"`WHEN` you want an answer, such as 2h, 3d or 2026-12-01T09:00:00Z; if none came by then, your inbox gets a notice that says what is known")
	flags.StringVar(&f.expires, "expires", "",
		"`WHEN` the message is of no use any more, such as 1h; what is not acknowledged by then ends. You get a report; of a recipient in another domain status shows it, when the gateway there sends receipts")
	flags.StringVar(&f.priority, "priority", "", "`WORD` for how urgent it is: urgent, high, normal or low")
}

// headers returns the headers, as NAME=VALUE.
func (f *timedFlags) headers(now time.Time) (list []string, err error) {
	for _, h := range []struct{ flag, header, value string }{
		{"answer-by", amtp.HeaderAnswerBy, f.answerBy}, {"expires", amtp.HeaderExpires, f.expires},
	} {
		if h.value == "" {
			continue
		}
		at, err := when(now, h.value)
		if err != nil {
			return nil, usageErrorf("--%s: %v.", h.flag, err)
		}
		list = append(list, h.header+"="+at.UTC().Format(time.RFC3339))
	}
	words := []string{amtp.PriorityUrgent, amtp.PriorityHigh, amtp.PriorityNormal, amtp.PriorityLow}
	switch {
	case f.priority == "":
	case !slices.Contains(words, f.priority):
		return nil, usageErrorf("--priority is %s or %s, not %q.", strings.Join(words[:3], ", "), words[3], f.priority)
	default:
		list = append(list, amtp.HeaderPriority+"="+f.priority)
	}
	return list, nil
}

// when reads a time to come: a duration from now, with d for days, or a time.
func when(now time.Time, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := duration(text)
		if err != nil {
			return at, usageErrorf("write a duration such as 30m, 2h or 3d, or a time such as 2026-12-01T09:00:00Z, not %q",
				text)
		}
		at = now.Add(d)
	}
	if !at.After(now) {
		return at, usageErrorf("%q is not in the future", text)
	}
	// Whole seconds, rounded up.
	return at.Add(time.Second - time.Nanosecond).Truncate(time.Second), nil
}

func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}
