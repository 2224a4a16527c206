package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// Wanted returns the selectors of the keys whose records are needed at the time: keys
// that wait or sign, and retired keys while messages with their signatures may be on
// their way.
func (o *OwnDomain) Wanted(now time.Time) []string {
	var list []string
	for _, k := range o.Keys {
		if k.State != admin.KeyRetired || k.Until.After(now) {
			list = append(list, k.Selector)
		}
	}
	return list
}

// keyPoints: the keys for the domain's signatures are published. For our own domain
// they must be the keys that the gateway has.
func keyPoints(s *SeenDomain, own *OwnDomain) []Finding {
	switch {
	case own != nil && own.KeysErr != nil:
		return []Finding{bad(PointKey, "run this where the gateway's data directory can be read: --data-dir",
			"the keys of this gateway are not known here: %v", own.KeysErr)}
	case own != nil && len(own.Keys) == 0:
		return []Finding{bad(PointKey, "make one: amtp domain setup "+string(s.Domain),
			"this gateway has no key to sign with yet")}
	case own == nil && len(s.Keys) == 0 && s.Found.Signs():
		return []Finding{{Name: PointKey, Skipped: true,
			Text: "not looked at: DNS does not list the keys of a domain; name one with --selector, as authentication.selector of a message shows it"}}
	case own == nil && len(s.Keys) == 0 && s.Found.Gateway != "":
		return []Finding{{Name: PointKey, Skipped: true,
			Text: "not looked at: the record does not say that the domain signs"}}
	}
	var list []Finding
	for i := range s.Keys {
		list = append(list, keyPoint(&s.Keys[i], own))
	}
	return list
}

// keyPoint judges the record of one key.
func keyPoint(k *SeenKey, own *OwnDomain) Finding {
	name := PointKey + " " + k.Selector
	var mine *admin.SigningKey
	if own != nil {
		if i := slices.IndexFunc(own.Keys, func(o admin.SigningKey) bool { return o.Selector == k.Selector }); i >= 0 {
			mine = &own.Keys[i]
		}
	}
	publish := "its operator has to publish it"
	if mine != nil {
		publish = fmt.Sprintf("publish at %s the TXT record: %s", mine.Name, mine.Record)
	}
	var valid, broken []string
	for _, txt := range k.Records {
		switch _, err := amtp.ParseKeyRecord(txt); {
		case err == nil:
			valid = append(valid, txt)
		case meansKey(txt):
			broken = append(broken, txt)
		}
	}
	switch {
	case k.Err != nil:
		return bad(name, "check whether the name servers of the domain work", "DNS does not say what is at %s: %v",
			k.Name, k.Err)
	case len(valid) > 1:
		return twiceValid(name, k, valid, mine)
	case len(valid) == 1:
		return validKey(name, publish, k, valid[0], broken, mine)
	case torn(k.Records):
		return bad(name, oneString+"; "+publish,
			"the strings of one record are published as %d records, and none of them is valid", len(k.Records))
	case len(broken) > 0:
		f := keyFault(broken[0])
		if f.hint != "" {
			publish = f.hint + "; " + publish
		}
		return bad(name, publish, "the record at %s cannot be used: %s", k.Name, f.text)
	}
	return noKeyRecord(name, publish, k, mine)
}

// noKeyRecord is the finding for a name without a key record. The record may be at
// another name.
func noKeyRecord(name, publish string, k *SeenKey, mine *admin.SigningKey) Finding {
	text := "there is no record at " + k.Name
	switch {
	case k.Elsewhere != "":
		text += ", but there is one at " + k.Elsewhere
		publish = misplaced(k.Elsewhere, k.Name) + "; " + publish
	case len(k.Records) > 0:
		text = fmt.Sprintf("at %s there is something other than the record of a key: %.80q", k.Name, k.Records[0])
	}
	if mine != nil && mine.State == admin.KeyActive {
		text += ", so that others do not believe what this gateway signs"
	}
	return bad(name, publish, "%s", text)
}

// misplaced says how a record came to another name.
func misplaced(at, wanted string) string {
	if behind, ok := strings.CutPrefix(at, wanted+"."); ok {
		return "the form adds ." + behind + " to the names by itself: leave that out of the name"
	}
	return "move it to the name " + wanted
}

// twiceValid is the finding for a name with several valid records: a verifier may not
// choose one of them.
func twiceValid(name string, k *SeenKey, valid []string, mine *admin.SigningKey) Finding {
	keys := map[string]bool{}
	for _, txt := range valid {
		record, _ := amtp.ParseKeyRecord(txt) // it is valid
		keys[record.String()] = true
	}
	leave, how := "remove all but one of them", "of the same key"
	switch {
	case mine != nil && keys[mine.Record]:
		leave = "remove all but this one: " + mine.Record
	case mine != nil:
		leave = "remove them and publish this one: " + mine.Record
	}
	if len(keys) > 1 {
		how = "of different keys"
	}
	return bad(name, leave, "there are %d valid records at %s, %s: others believe none of them",
		len(valid), k.Name, how)
}

// longTTL is how long a key record may be cached before the finding mentions it: a key
// that was replaced stays known for as long.
const longTTL = 24 * time.Hour

func validKey(name, publish string, k *SeenKey, txt string, broken []string, mine *admin.SigningKey) Finding {
	record, _ := amtp.ParseKeyRecord(txt) // it is valid
	if mine != nil && record.String() != mine.Record {
		return bad(name, publish, "the record at %s has another key than this gateway has as %s", k.Name, k.Selector)
	}
	f := good(name, "is published, for %s", record.Algorithm)
	if mine != nil {
		f = good(name, "is published, and is the one of this gateway (%s)", mine.State)
	}
	switch {
	case len(broken) > 0:
		f.Note = fmt.Sprintf("another record there is not valid, and is ignored: %s; remove it",
			keyFault(broken[0]).text)
	case k.TTL > longTTL:
		f.Note = fmt.Sprintf("it may be remembered for %s: with a TTL of %d seconds a change is known sooner", k.TTL,
			300)
	}
	return f
}
