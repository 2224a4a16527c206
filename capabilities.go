package amtp

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The reasons for which a domain's TXT strings have no usable record. Errors of this file
// wrap one of them; compare with errors.Is.
var (
	ErrNoRecord       = errors.New("there is no AMTP record")
	ErrBadRecord      = errors.New("the AMTP record is malformed")
	ErrRecordsDiffer  = errors.New("there are several different AMTP records")
	ErrSeveralRecords = errors.New("there are several valid records of a key")
)

// maxRecord bounds one TXT record in bytes. The longest one known, the key record of an
// RSA key of 8192 bits, has 1450.
const maxRecord = 2048

// maxMaxSize bounds a max-size in bytes, so that sums with it do not overflow.
const maxMaxSize = 1 << 50

// Capabilities is what a domain says about its gateway in the TXT record at
// _amtp.{domain}. Values made by [ParseCapabilities] are valid. AMTP §2.
type Capabilities struct {
	Version  string   `json:"version"`            // of the protocol: 1.0
	Gateway  string   `json:"gateway"`            // base URL: lower-case host, no slash at its end; append /v1/…
	Auth     []string `json:"auth,omitempty"`     // lower case: cert, oauth, apikey, sig or others
	MaxSize  int64    `json:"max_size"`           // bytes of the largest message it takes
	Features []string `json:"features,omitempty"` // lower case; what the reference gateway publishes
}

// FeatureReceipts is the word among Features by which a domain asks others to tell
// it when their agents read, or acknowledge, a message of its agents.
const FeatureReceipts = "receipts"

// CapabilitiesName returns the name at which a domain publishes its record.
func CapabilitiesName(d Domain) string { return "_amtp." + string(d) }

// Signs reports whether the domain says that it signs every message, and accepts messages
// with one recipient each.
func (c Capabilities) Signs() bool { return slices.Contains(c.Auth, "sig") }

// String writes the record. The order and the case of the first two tags are
// the only ones that the reference gateway reads.
func (c Capabilities) String() string {
	var b strings.Builder
	b.WriteString("v=amtp1;gateway=" + c.Gateway)
	if len(c.Auth) > 0 {
		b.WriteString(";auth=" + strings.Join(c.Auth, ","))
	}
	if c.MaxSize > 0 {
		b.WriteString(";max-size=" + strconv.FormatInt(c.MaxSize, 10))
	}
	if len(c.Features) > 0 {
		b.WriteString(";features=" + strings.Join(c.Features, ","))
	}
	return b.String()
}

// ParseCapabilities reads one TXT record, joined from its strings. Tags may have any order
// and case, and spaces around them; unknown tags are ignored. The gateway is an https URL
// with a host in A-label form or an IP address, and without user, query and fragment; http
// only with allowHTTP. A max-size that is no positive number counts as absent, as with the
// reference gateway: the peer's own 413 corrects us. The error is ErrNoRecord or
// ErrBadRecord. AMTP §2.
func ParseCapabilities(txt string, allowHTTP bool) (Capabilities, error) {
	tags, err := parseTags(txt, "v", "gateway", "auth", "max-size", "features")
	if err != nil {
		return Capabilities{}, err
	}
	c := Capabilities{Version: Version, MaxSize: MaxMessageSize}
	if c.Gateway, err = parseGateway(tags["gateway"], allowHTTP); err != nil {
		return Capabilities{}, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	c.Auth = parseList(tags["auth"])
	c.Features = parseList(tags["features"])
	if n, err := strconv.ParseUint(tags["max-size"], 10, 64); err == nil && n > 0 {
		c.MaxSize = int64(min(n, maxMaxSize))
	}
	return c, nil
}

// ChooseCapabilities reads the record among the TXT strings at a name, each joined from
// its pieces of 255 bytes. Strings without v=amtp1 are ignored, and so are malformed
// records if there is a valid one. The error is ErrNoRecord if there is no record,
// ErrBadRecord if there are only malformed ones, and ErrRecordsDiffer if two valid ones
// differ. AMTP §2.
func ChooseCapabilities(txts []string, allowHTTP bool) (Capabilities, error) {
	var found Capabilities
	failure := ErrNoRecord
	for _, txt := range txts {
		c, err := ParseCapabilities(txt, allowHTTP)
		switch {
		case err == nil && found.Gateway == "":
			found = c
		case err == nil && found.String() != c.String():
			return Capabilities{}, ErrRecordsDiffer
		case errors.Is(err, ErrBadRecord):
			failure = err
		}
	}
	if found.Gateway == "" {
		return Capabilities{}, failure
	}
	return found, nil
}

// parseTags splits name=value;name=value. It returns only the known names, in lower case;
// none of them may occur twice. A segment without = is ignored. A text without v=amtp1 is
// no record, whatever else it has.
func parseTags(txt string, known ...string) (map[string]string, error) {
	// Quotes that a user typed into a web form of a DNS provider.
	if s := strings.TrimSpace(txt); len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		txt = s[1 : len(s)-1]
	}
	txt = strings.ReplaceAll(txt, `\;`, ";") // an escape for zone files, typed into a form
	tags := make(map[string]string, len(known))
	ours, twice := false, ""
	for segment := range strings.SplitSeq(txt, ";") {
		name, value, ok := strings.Cut(segment, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || !slices.Contains(known, name) {
			continue
		}
		if name == "v" {
			value = strings.ToLower(value)
			ours = ours || value == "amtp1"
		}
		if _, again := tags[name]; again {
			twice = name
		}
		tags[name] = value
	}
	switch {
	case !ours:
		return nil, ErrNoRecord
	case twice != "":
		return nil, fmt.Errorf("%w: the tag %s occurs twice", ErrBadRecord, twice)
	case len(txt) > maxRecord:
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrBadRecord, maxRecord)
	}
	return tags, nil
}

// parseList reads a comma-separated list of tokens in lower case. Entries that are no
// token, and repeated ones, are left out.
func parseList(s string) []string {
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if isToken(item) && !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// parseGateway checks a base URL and brings it to one form: scheme and host in
// lower case, no slash at the end.
func parseGateway(s string, allowHTTP bool) (string, error) {
	if s == "" {
		return "", errors.New("the tag gateway is missing")
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}?#@%", c) >= 0 {
			return "",
				fmt.Errorf("the gateway %s is not a plain URL: user, query, fragment, escapes and characters outside ASCII are not allowed",
					quoteShort(s))
		}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		return "", fmt.Errorf("the gateway %s is not a URL with a host", quoteShort(s))
	case u.Scheme == "http" && !allowHTTP:
		return "", fmt.Errorf("the gateway %s is not https", quoteShort(s))
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("the gateway %s is not an https URL", quoteShort(s))
	}
	host, err := parseHost(u)
	if err != nil {
		return "", fmt.Errorf("the gateway %s has no usable host: %w", quoteShort(s), err)
	}
	path := strings.TrimRight(u.Path, "/")
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if path != "" && (segment == "" || segment == "." || segment == "..") {
			return "", fmt.Errorf("the path of the gateway %s has an empty or dotted segment", quoteShort(s))
		}
	}
	return u.Scheme + "://" + host + path, nil
}

// parseHost returns host or host:port. Whether a name or an address may be
// connected to is decided where the connection is made.
func parseHost(u *url.URL) (string, error) {
	name, port := u.Hostname(), u.Port()
	host := ""
	if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" {
		if host = ip.String(); ip.Is6() {
			host = "[" + host + "]"
		}
	} else {
		d, err := ParseDomain(name)
		if err != nil {
			return "", err
		}
		// 0x7f000001 is an address to some resolvers.
		if last := string(d[strings.LastIndexByte(string(d), '.')+1:]); strings.HasPrefix(last, "0x") &&
			strings.Trim(last[2:], "0123456789abcdef") == "" {
			return "", errors.New("it ends in a number")
		}
		host = string(d)
	}
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "", errors.New("the port is empty")
		}
		return host, nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
		return "", errors.New("the port is not a number from 1 to 65535")
	}
	return host + ":" + port, nil
}
