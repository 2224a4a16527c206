package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// Units of a size, in bytes.
const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// maxCount is above every number of connections that a machine can hold.
const maxCount = 1_000_000

// parseHostPort reads an address to listen on. The host may be empty, an IP
// address or a name; the port is a number, where 0 lets the system choose.
func parseHostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "",
			fmt.Errorf("%s is not an address to listen on: write host:port, such as 127.0.0.1:8080 or [::1]:8080",
				brief(s))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%s has no port between 0 and 65535", brief(s))
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return s, nil
	}
	if _, err := amtp.ParseDomain(host); err != nil {
		return "", fmt.Errorf("%s has neither an IP address nor a name before the port", brief(s))
	}
	return s, nil
}

// isLoopback reports whether address, a valid host:port, can only be reached
// from this machine.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
	}
	return ip.Unmap().IsLoopback()
}

func parseDomain(s string) (amtp.Domain, error) {
	d, err := amtp.ParseDomain(s)
	if err != nil {
		return "", fmt.Errorf("%s is not a domain: %w", brief(s), err)
	}
	return d, nil
}

// parseSelector reads the name of a signing key. AMTP §2.
func parseSelector(s string) (string, error) {
	if _, err := amtp.KeyRecordName(s, "x"); err != nil {
		return "", err
	}
	return s, nil
}

// parsePath reads the name of a file or directory. It refuses ~, which only a shell
// expands: the gateway would make a directory of that name.
func parsePath(s string) (string, error) {
	if s == "~" || strings.HasPrefix(s, "~/") {
		return "", fmt.Errorf("%s is not expanded here: write the path in full", brief(s))
	}
	if strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("%s has a control character", brief(s))
	}
	return s, nil
}

// parseSecret reads a key that travels in an HTTP header. Its errors never show it.
func parseSecret(s string) (Secret, error) {
	if s == redacted {
		return "", fmt.Errorf("%s is what config show prints in place of a key: write the key itself", redacted)
	}
	if len(s) > 1 && plaintext.Word(s) != s {
		return "", errors.New("there are quotation marks, a space or a line end around the key: write it without them")
	}
	if odd := plaintext.Odd(s); strings.ContainsFunc(s, notVisible) {
		return "", errors.New("a key has only visible ASCII characters, no blanks; this one has " + odd + " in it")
	}
	return Secret(s), nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func notVisible(r rune) bool { return r <= ' ' || r >= 0x7f }

// readKeyFile reads a file of keys, one on a line. Empty lines and lines that
// begin with # are skipped; a file without a key is an error.
func readKeyFile(name string) ([]string, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var keys []string
	n := 0
	for line := range strings.Lines(string(plaintext.Content(content))) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseSecret(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		keys = append(keys, string(key))
	}
	if len(keys) == 0 {
		return nil, errors.New("the file holds no key")
	}
	return keys, nil
}

// parseBool reads the words that strconv.ParseBool knows, as the reference does.
func parseBool(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%s is neither true nor false", brief(s))
	}
	return b, nil
}

func parseSwitch(s string) (Switch, error) {
	if strings.EqualFold(s, string(Auto)) {
		return Auto, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return "", fmt.Errorf("%s is not one of: auto, true, false", brief(s))
	}
	return Switch(strconv.FormatBool(b)), nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a duration: write a number with its unit, such as 30s, 5m or 1h30m", brief(s))
	}
	if d <= 0 {
		return 0, fmt.Errorf("%s is not longer than 0s", brief(s))
	}
	return d, nil
}

// formatDuration writes d without the zero units that time.Duration adds.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxCount {
		return 0, fmt.Errorf("%s is not a number from 1 to %d", brief(s), maxCount)
	}
	return n, nil
}

// parseSize reads a number of bytes, with or without a unit: powers of 1000
// (kB, MB, GB) or of 1024 (KiB, MiB, GiB), in any case.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, " BKMGTIbkmgti")
	unit := int64(1)
	switch strings.ToLower(strings.TrimSpace(s[len(digits):])) {
	case "", "b":
	case "kb":
		unit = 1e3
	case "mb":
		unit = 1e6
	case "gb":
		unit = 1e9
	case "kib":
		unit = kib
	case "mib":
		unit = mib
	case "gib":
		unit = gib
	default:
		digits = ""
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > (1<<63-1)/unit {
		return 0, fmt.Errorf("%s is not a size: write bytes, or a whole number with kB, MB, GB, KiB, MiB or GiB",
			brief(s))
	}
	return int64(n) * unit, nil
}

// formatSize writes n with the largest binary unit that divides it.
func formatSize(n int64) string {
	switch {
	case n > 0 && n%gib == 0:
		return strconv.FormatInt(n/gib, 10) + "GiB"
	case n > 0 && n%mib == 0:
		return strconv.FormatInt(n/mib, 10) + "MiB"
	case n > 0 && n%kib == 0:
		return strconv.FormatInt(n/kib, 10) + "KiB"
	}
	return strconv.FormatInt(n, 10)
}

// brief quotes what an operator wrote for an error, on one line and bounded.
func brief(s string) string {
	if len(s) > 80 {
		return strconv.QuoteToASCII(s[:80]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
