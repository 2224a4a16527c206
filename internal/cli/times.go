package cli

import (
	"strings"
	"time"
)

// How dates are written, with the time behind them.
const (
	isoTime   = "2006-01-02 15:04:05 MST" // where nothing else is said
	usTime    = "1/2/2006, 3:04:05 PM MST"
	slashTime = "02/01/2006 15:04:05 MST"
	dotTime   = "02.01.2006 15:04:05 MST"
	dashTime  = "02-01-2006 15:04:05 MST"
	asiaTime  = "2006/01/02 15:04:05 MST"
)

// layoutOf is how times are written in a locale, such as de_AT.UTF-8: as its country
// does, else as its language.
func layoutOf(locale string) string {
	if i := strings.IndexAny(locale, ".@"); i >= 0 {
		locale = locale[:i]
	}
	language, _, _ := strings.Cut(locale, "_")
	for _, name := range []string{locale, language} {
		switch name {
		case "en_CA", "en_ZA", "fr_CA", "sv", "lt", "hu", "ko":
			return isoTime
		case "en_US", "en_PH", "es_US":
			return usTime
		case "fr_CH", "it_CH", "de", "da", "fi", "nb", "nn", "no", "is", "pl", "cs", "sk", "sl", "hr", "sr", "bs",
			"mk", "bg", "ro",
			"ru", "uk", "be", "et", "lv", "tr", "az", "ka", "hy", "he":
			return dotTime
		case "en", "fr", "es", "it", "pt", "ca", "gl", "el", "vi", "id", "ms", "ga", "cy":
			return slashTime
		case "nl":
			return dashTime
		case "ja", "zh":
			return asiaTime
		}
	}
	return isoTime
}

// timeText writes a time as the user's locale has it, in the user's zone.
func (p *program) timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(layoutOf(firstOf(p.getenv("LC_ALL"), p.getenv("LC_TIME"), p.getenv("LANG"))))
}
