package gateway

import "github.com/amtp-go/amtp"

// Home is the domain of a gateway that has none of its own. At its gateway, its
// addresses mean the agents there for good, whatever domain it gets.
// docs/decisions/013
const Home amtp.Domain = "localhost"

// AtHome returns the address under which a gateway keeps an agent of the domain
// that it serves: an address of Home is another name for that one.
func AtHome(a amtp.Address, serves amtp.Domain) amtp.Address {
	if a.Domain() != Home || serves == Home || a.IsZero() {
		return a
	}
	if kept, err := amtp.ParseAddress(a.Local() + "@" + string(serves)); err == nil {
		return kept
	}
	return a
}
