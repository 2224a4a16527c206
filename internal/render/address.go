package render

import (
	"fmt"
	"strings"

	"github.com/amtp-go/amtp"
)

// Address writes an address so that a reader may copy it to a command line. A stranger may
// have chosen a local part that a shell would execute. A plain local part begins with a
// letter or digit and has only letters, digits and . _ + - = in it. Any other is quoted, and
// its other characters are escapes. No command takes it in that form, but "amtp reply" needs
// no address.
func Address(a amtp.Address) string {
	s := a.String()
	local, domain, ok := strings.Cut(s, "@")
	if !ok || plainLocal(local) {
		return Clean(s)
	}
	var b strings.Builder
	for i := range len(local) {
		if plainByte(local[i]) && (i > 0 || isAlnum(local[i])) {
			b.WriteByte(local[i])
		} else {
			fmt.Fprintf(&b, `\x%02x`, local[i])
		}
	}
	return `"` + b.String() + `"@` + Clean(domain)
}

// Addresses is [Address] for several addresses, with commas between them.
func Addresses(list []amtp.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = Address(a)
	}
	return strings.Join(texts, ", ")
}

// Sender writes the sender of a message. For an odd address it says how to answer.
func Sender(a amtp.Address) string {
	text := Address(a)
	if strings.HasPrefix(text, `"`) {
		text += "  (an odd name; answer with: amtp reply)"
	}
	return text
}

func plainLocal(local string) bool {
	for i := range len(local) {
		if !plainByte(local[i]) || i == 0 && !isAlnum(local[i]) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool { return isAlnum(c) || strings.IndexByte("._+-=", c) >= 0 }

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// MessageID writes the id of a message as an argument of a command, so that an id that
// begins with - is not taken for a flag.
func MessageID(id amtp.MessageID) string {
	word := Clean(string(id))
	if strings.HasPrefix(word, "-") {
		return "-- " + word
	}
	return word
}
