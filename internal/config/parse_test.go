package config

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want int64
	}{
		{"0", 0}, {"10485760", 10485760}, {"512B", 512}, {"10kB", 10_000}, {"10KB", 10_000}, {"10MB", 10_000_000},
		{"1GB", 1_000_000_000}, {"10KiB", 10 << 10}, {"10MiB", 10 << 20}, {"10 mib", 10 << 20}, {"2GiB", 2 << 30},
		{"9223372036854775807", math.MaxInt64}, {"8589934591GiB", 8589934591 << 30},
	} {
		if got, err := parseSize(tc.in); err != nil || got != tc.want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", tc.in, got, err, tc.want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for _, in := range []string{"", "B", "MiB", "-1", "+1", "1.5MiB", "10M", "10 M B", "10_000", "0x10", " 1", "1KiBs",
		"10bMi", "9223372036854775808", "8589934592GiB", "99999999999999999999999"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for in, want := range map[int64]string{0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1025: "1025", 10 << 20: "10MiB",
		3 << 30: "3GiB", 1536 << 20: "1536MiB"} {
		if got := formatSize(in); got != want {
			t.Errorf("formatSize(%d) = %s, want %s", in, got, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for in, want := range map[time.Duration]string{
		30 * time.Second: "30s", time.Minute: "1m", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", time.Hour: "1h",
		20 * time.Hour: "20h", time.Hour + time.Second: "1h0m1s", time.Hour + time.Minute: "1h1m",
		1500 * time.Millisecond: "1.5s",
	} {
		got := formatDuration(in)
		if back, err := parseDuration(got); got != want || back != in || err != nil {
			t.Errorf("formatDuration(%d) = %s, read again %v, %v; want %s", in, got, back, err, want)
		}
	}
}

func TestParseHostPort(t *testing.T) {
	for _, in := range []string{"127.0.0.1:0", ":8080", "0.0.0.0:65535", "[::]:1", "[fe80::1%eth0]:1", "localhost:1",
		"gateway.example:1"} {
		if got, err := parseHostPort(in); err != nil || got != in {
			t.Errorf("parseHostPort(%q) = %q, %v; want it unchanged", in, got, err)
		}
	}
}

func TestParseHostPortRefuses(t *testing.T) {
	for _, in := range []string{"", "8080", "127.0.0.1", "::1:80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
		"127.0.0.1:+1",
		"http://localhost:80", "a b:1", "1.2.3:80", "[localhost]:80:90"} {
		if got, err := parseHostPort(in); err == nil {
			t.Errorf("parseHostPort(%q) = %q, want an error", in, got)
		}
	}
}

func TestParseSwitch(t *testing.T) {
	for in, want := range map[string]Switch{"auto": Auto, "Auto": Auto, "true": On, "1": On, "TRUE": On,
		"false": Off, "0": Off} {
		if got, err := parseSwitch(in); err != nil || got != want {
			t.Errorf("parseSwitch(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
	if got, err := parseSwitch("yes"); err == nil {
		t.Errorf(`parseSwitch("yes") = %s, want an error`, got)
	}
}

func TestBriefIsOneShortLine(t *testing.T) {
	if got := brief("a\nb\x1b[31m" + strings.Repeat("x", 1000)); strings.ContainsAny(got, "\n\x1b") || len(got) > 120 {
		t.Errorf("brief of a long hostile text = %q", got)
	}
}
