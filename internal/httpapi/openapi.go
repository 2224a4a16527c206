package httpapi

import (
	"net/http"
	"strings"

	"github.com/amtp-go/amtp/internal/openapi"
)

// openAPI serves the document of this API. A client that has it already gets 304.
func (s *Server) openAPI(c *call) {
	if !c.asks() {
		return
	}
	doc, etag := openapi.JSON()
	h := c.w.Header()
	h.Set("ETag", etag)
	h.Set("Cache-Control", "public, max-age=300")
	if known(c.r.Header["If-None-Match"], etag) {
		c.status = http.StatusNotModified
		c.w.WriteHeader(c.status)
		return
	}
	c.write(http.StatusOK, doc)
}

// known reports whether a condition of the client matches the ETag. RFC 9110 §13.1.2:
// the comparison is weak, and * matches every ETag.
func known(conditions []string, etag string) bool {
	for _, list := range conditions {
		for tag := range strings.SplitSeq(list, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
