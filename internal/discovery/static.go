package discovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/amtp-go/amtp"
)

// keyMark is in the name of every key record, between selector and domain.
const keyMark = "._amtpkey."

// static is the operator's table.
type static struct {
	gateways map[amtp.Domain]amtp.Capabilities
	keys     map[string]amtp.KeyRecord // by name of the record
}

// readStatic reads a table. Its error names the first entry that is not valid.
func readStatic(table map[string]string, allowHTTP bool) (static, error) {
	s := static{gateways: map[amtp.Domain]amtp.Capabilities{}, keys: map[string]amtp.KeyRecord{}}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if err := s.add(name, table[name], allowHTTP); err != nil {
			return static{}, fmt.Errorf("%.80q: %w", name, err)
		}
	}
	return s, nil
}

func (s *static) add(name, txt string, allowHTTP bool) error {
	d, err := amtp.ParseDomain(name)
	if err != nil {
		return err
	}
	if strings.Contains(string(d), keyMark) {
		if _, twice := s.keys[string(d)]; twice {
			return fmt.Errorf("it is in the table twice")
		}
		s.keys[string(d)], err = amtp.ParseKeyRecord(txt)
		return err
	}
	if _, twice := s.gateways[d]; twice {
		return fmt.Errorf("it is in the table twice")
	}
	s.gateways[d], err = amtp.ParseCapabilities(txt, allowHTTP)
	return err
}
