package render

import (
	"strconv"
	"strings"
	"time"
)

// The layouts of dates, each followed by the time.
const (
	isoTime   = "2006-01-02 15:04:05 MST" // where nothing else is said
	usTime    = "1/2/2006, 3:04:05 PM MST"
	slashTime = "02/01/2006 15:04:05 MST"
	dotTime   = "02.01.2006 15:04:05 MST"
	dashTime  = "02-01-2006 15:04:05 MST"
	asiaTime  = "2006/01/02 15:04:05 MST"
)

// TimeLayout returns the layout of times in a locale, such as de_AT.UTF-8, for
// [time.Time.Format]. It is the layout of the locale's country, else of its language.
func TimeLayout(locale string) string {
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

// Span writes a time span in its two largest units: 45s, 12m5s, 3h20m, 6d4h.
func Span(d time.Duration) string {
	d = max(d, 0)
	const day = 24 * time.Hour
	two := func(large, small time.Duration, a, b string) string {
		s := strconv.Itoa(int(d/large)) + a
		if rest := d % large / small; rest > 0 {
			s += strconv.Itoa(int(rest)) + b
		}
		return s
	}
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return two(time.Minute, time.Second, "m", "s")
	case d < day:
		return two(time.Hour, time.Minute, "h", "m")
	}
	return two(day, time.Hour, "d", "h")
}

// Spell writes a length of time in the largest unit of which there are two: 3 days, 90
// minutes.
func Spell(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return Plural(int(d/day), "day")
	case d >= 2*time.Hour:
		return Plural(int(d/time.Hour), "hour")
	case d >= 2*time.Minute:
		return Plural(int(d/time.Minute), "minute")
	}
	return Plural(int((d+time.Second-1)/time.Second), "second")
}
