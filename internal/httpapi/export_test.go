package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp/internal/access"
)

// Routes returns the operations of the API, each as method and pattern.
func Routes() []string {
	var all []string
	for _, r := range routes {
		all = append(all, r.method+" "+r.pattern)
	}
	return all
}

// Unreadiness returns the reason that strangers get for an error of Store.Probe.
var Unreadiness = unreadiness

// Changes returns the log line of each operation, "" for none.
func Changes() map[string]string {
	said := make(map[string]string)
	for _, r := range routes {
		said[r.method+" "+r.pattern] = r.changed
	}
	return said
}

// Reached returns the operation that a request reaches, "" for none.
func Reached(r *http.Request) string {
	mux := http.NewServeMux()
	for _, route := range routes {
		mux.Handle(route.method+" "+route.pattern, http.NotFoundHandler())
	}
	_, pattern := mux.Handler(r)
	return pattern
}

// Doubling are the routes that may begin with a doubled slash.
var Doubling = doubling

// Tolerances are the routes on which some wrong keys count as no key. Below 0, all keys do.
var Tolerances = func() map[string]access.Tolerance {
	tolerant := make(map[string]access.Tolerance)
	for _, r := range routes {
		if t := r.who.tolerance(); t != access.Strict {
			tolerant[r.method+" "+r.pattern] = t
		}
	}
	return tolerant
}()

// Statuses are the HTTP statuses of the codes.
var Statuses = statuses

// Callers returns the group of callers of each operation.
func Callers() map[string]string {
	names := map[who]string{everyone: "everyone", anybody: "anybody", client: "client", registrant: "registrant",
		reader: "reader", self: "self", owner: "owner", operators: "operators"}
	callers := make(map[string]string)
	for _, r := range routes {
		callers[r.method+" "+r.pattern] = names[r.who]
	}
	return callers
}
