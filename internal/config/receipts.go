package config

import (
	"fmt"
	"strings"

	"github.com/amtp-go/amtp"
)

// DomainRule is the rule of receipts for one domain.
type DomainRule struct {
	Domain amtp.Domain
	Rule   string // known, all or off
}

var receiptRules = []string{"known", "all", "off"}

// receiptRule binds a field that holds one of the rules.
func receiptRule(p *string) value {
	options := make([]option[string], len(receiptRules))
	for i, rule := range receiptRules {
		options[i] = option[string]{rule, rule}
	}
	return choice(p, options...)
}

// parseDomainRule reads a text such as shop.example=all.
func parseDomainRule(s string) (DomainRule, error) {
	name, rule, ok := strings.Cut(s, "=")
	if !ok {
		return DomainRule{}, fmt.Errorf("%s is not domain=rule", brief(s))
	}
	d, err := amtp.ParseDomain(strings.TrimSpace(name))
	if err != nil {
		return DomainRule{}, fmt.Errorf("%s: %w", brief(s), err)
	}
	r := DomainRule{Domain: d}
	v := receiptRule(&r.Rule)
	return r, v.set(strings.TrimSpace(rule))
}

func formatDomainRule(r DomainRule) string { return string(r.Domain) + "=" + r.Rule }

// checkReceipts refuses two rules for one domain.
func (l *loader) checkReceipts() {
	seen := make(map[amtp.Domain]bool)
	for _, r := range l.cfg.Federation.ReceiptsDomains {
		if seen[r.Domain] {
			l.refuse("federation.receipts_domains", brief(string(r.Domain))+" is listed twice")
		}
		seen[r.Domain] = true
	}
}
