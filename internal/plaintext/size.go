package plaintext

import (
	"fmt"
	"strconv"
	"strings"
)

// Size writes a size for a person: 812 bytes, 12.3 kB, 4 MB.
func Size(n int64) string {
	switch {
	case n < 1000:
		if n == 1 {
			return "1 byte"
		}
		return strconv.FormatInt(n, 10) + " bytes"
	case n < 1000*1000:
		return short1(float64(n)/1000) + " kB"
	case n < 1000*1000*1000:
		return short1(float64(n)/1000/1000) + " MB"
	}
	return short1(float64(n)/1000/1000/1000) + " GB"
}

// short1 writes a number, with one digit after the point if it is small.
func short1(f float64) string {
	if f >= 10 {
		return fmt.Sprintf("%.0f", f)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0")
}
