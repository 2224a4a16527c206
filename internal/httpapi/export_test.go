package httpapi

// Routes returns the operations of the API, each as method and pattern.
func Routes() []string {
	var all []string
	for _, r := range routes {
		all = append(all, r.method+" "+r.pattern)
	}
	return all
}
