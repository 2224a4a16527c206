package domaincheck

import (
	"fmt"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
)

// Wanted returns the selectors of the keys whose records are needed at the time:
// of those that wait or sign, and of retired ones while what they signed may be
// on its way.
func (o *Own) Wanted(now time.Time) []string {
	var list []string
	for _, k := range o.Keys {
		if k.State != amtp.KeyRetired || k.Until.After(now) {
			list = append(list, k.Selector)
		}
	}
	return list
}

// keyPoints: the keys that others check signatures with are published. Of our
// own domain they must be the ones that the gateway has.
func keyPoints(s *Seen, own *Own) []Finding {
	switch {
	case own != nil && own.KeysErr != nil:
		return []Finding{bad(PointKey, "run this where the gateway's data directory can be read: --data-dir", "the keys of this gateway are not known here: %v", own.KeysErr)}
	case own != nil && len(own.Keys) == 0:
		return []Finding{bad(PointKey, "make one: amtp domain setup "+string(s.Domain), "this gateway has no key to sign with yet")}
	case own == nil && len(s.Keys) == 0 && s.Found.Signs():
		return []Finding{{Name: PointKey, Skipped: true, Text: "not looked at: DNS does not list the keys of a domain; name one with --selector, as authentication.selector of a message shows it"}}
	case own == nil && len(s.Keys) == 0 && s.Found.Gateway != "":
		return []Finding{{Name: PointKey, Skipped: true, Text: "not looked at: the record does not say that the domain signs"}}
	}
	var list []Finding
	for i := range s.Keys {
		list = append(list, keyPoint(&s.Keys[i], own))
	}
	return list
}

func keyPoint(k *Key, own *Own) Finding {
	name := PointKey + " " + k.Selector
	ours := slices.DeleteFunc(slices.Clone(k.Records), func(txt string) bool { return !isOurs(txt) })
	var mine *amtp.SigningKey
	if own != nil {
		if i := slices.IndexFunc(own.Keys, func(o amtp.SigningKey) bool { return o.Selector == k.Selector }); i >= 0 {
			mine = &own.Keys[i]
		}
	}
	publish, active := "its operator has to publish it", false
	if mine != nil {
		publish, active = fmt.Sprintf("publish at %s the TXT record: %s", mine.Name, mine.Record), mine.State == amtp.KeyActive
	}
	record, err := amtp.ChooseKeyRecord(k.Records)
	switch {
	case k.Err != nil:
		return bad(name, "look whether the name servers of the domain work", "DNS does not say what is at %s: %v", k.Name, k.Err)
	case k.Status != discovery.Exists && active:
		return bad(name, publish, "there is no record at %s, so that others refuse what this gateway signs", k.Name)
	case k.Status != discovery.Exists:
		return bad(name, publish, "there is no record at %s", k.Name)
	case err != nil:
		return bad(name, publish, "the record cannot be used: %v", err)
	case len(ours) > 1:
		return bad(name, "leave one of them", "there are %d records at %s", len(ours), k.Name)
	case mine != nil && record.String() != mine.Record:
		return bad(name, publish, "the record has another key than this gateway signs with")
	case mine != nil:
		return good(name, "is published, and is the one of this gateway (%s)", mine.State)
	}
	return good(name, "is published, for %s", record.Algorithm)
}
