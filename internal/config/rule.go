package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/outbound"
)

func parseResolver(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return netip.AddrPortFrom(addr, 53), nil
	}
	at, err := netip.ParseAddrPort(s)
	if err != nil || at.Port() == 0 {
		return netip.AddrPort{},
			fmt.Errorf("%s is not a name server: write its IP address, with a port if it is not 53, such as 192.0.2.1 or [2001:db8::1]:5353",
				brief(s))
	}
	return at, nil
}

func formatResolver(at netip.AddrPort) string { return at.String() }

// parseRule reads a network, an address, a host name or nothing, followed by a colon
// and a port or not. An IPv6 address or network with a port is in brackets.
func parseRule(s string) (outbound.Rule, error) {
	to, port, err := cutPort(s)
	if err != nil {
		return outbound.Rule{}, err
	}
	r := outbound.Rule{Port: port}
	switch prefix, err := netip.ParsePrefix(to); {
	case err == nil && prefix != prefix.Masked():
		return outbound.Rule{}, fmt.Errorf("%s has bits behind its mask: write %s, or the address alone", brief(s),
			prefix.Masked())
	case err == nil:
		r.Prefix = prefix
		return r, nil
	}
	if addr, err := netip.ParseAddr(to); err == nil && addr.Zone() == "" {
		r.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return r, nil
	}
	if to == "" && port != 0 {
		return r, nil
	}
	host, err := amtp.ParseDomain(to)
	if err != nil {
		return outbound.Rule{},
			fmt.Errorf("%s is not a place to call: write a network (10.0.0.0/8), an address or a host name, with :port behind it or not, or :port alone",
				brief(s))
	}
	r.Host = string(host)
	return r, nil
}

// cutPort returns the text without its port and brackets, and the port, 0 if there is
// none.
func cutPort(s string) (to string, port uint16, err error) {
	to = s
	digits, hasPort := "", false
	if inside, behind, ok := strings.Cut(strings.TrimPrefix(s, "["), "]"); ok && s[0] == '[' {
		to = inside
		hasPort = behind != ""
		digits, ok = strings.CutPrefix(behind, ":")
		if !ok {
			digits = "" // no port
		}
	} else if strings.Count(s, ":") == 1 {
		to, digits, hasPort = strings.Cut(s, ":")
	}
	if !hasPort {
		return to, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%s has no port between 1 and 65535 after its colon", brief(s))
	}
	return to, uint16(n), nil
}

func formatRule(r outbound.Rule) string {
	to := r.Host
	if r.Prefix.IsValid() {
		to = r.Prefix.String()
		if r.Prefix.IsSingleIP() {
			to = r.Prefix.Addr().String()
		}
	}
	if r.Port == 0 {
		return to
	}
	if strings.Contains(to, ":") {
		to = "[" + to + "]"
	}
	return to + ":" + strconv.Itoa(int(r.Port))
}

// list binds a field with several items. They are divided by commas, or are a list of
// the file.
func list[T any](p *[]T, items string, parse func(string) (T, error), format func(T) string) value {
	parseAll := func(s string) ([]T, error) {
		var all []T
		if s == "" {
			return nil, nil
		}
		for item := range strings.SplitSeq(s, ",") {
			v, err := parse(strings.TrimSpace(item))
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, nil
	}
	formatAll := func(all []T) string {
		texts := make([]string, len(all))
		for i, v := range all {
			texts[i] = format(v)
		}
		return strings.Join(texts, ",")
	}
	v := bind(p, items+" with commas between them", parseAll, formatAll)
	v.compose = composeList
	return v
}

func composeList(n *yaml.Node) (string, error) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return "", errors.New("expected one value, or a list of values")
	}
	var items []string
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" || strings.Contains(item.Value, ",") {
			return "", errors.New("expected a list of single values")
		}
		items = append(items, item.Value)
	}
	return strings.Join(items, ","), nil
}
