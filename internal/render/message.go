package render

import (
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp"
)

// Fence is a word that the sender of a message could not know. The sender's words are
// between two lines with it, so that a message cannot end its own quotation.
type Fence string

// NewFence returns a fence of its own for one output.
func NewFence() Fence { return Fence(rand.Text()) }

// Begin is the line above a sender's words.
func (f Fence) Begin() string { return "----- BEGIN " + string(f) + " -----\n" }

// End is the line below the sender's words.
func (f Fence) End() string { return "----- END " + string(f) + " -----\n" }

// Around writes the words, which end with a line break, between the two lines.
func (f Fence) Around(words string) string { return f.Begin() + words + f.End() }

// Beginning returns the first bytes of a content, at most most bytes and a line break,
// without cutting a character. It returns a content that is not longer whole.
func Beginning(content string, most int) string {
	if len(content) <= most {
		return content
	}
	return strings.TrimSuffix(strings.ToValidUTF8(content[:most], ""), "\n") + "\n"
}

// Recipient writes the state of a message for one recipient, on one line.
func Recipient(r amtp.RecipientStatus) string {
	var b strings.Builder
	b.WriteString(Address(r.Address) + ": " + Clean(string(r.Status)))
	if r.DeliveryMode != "" {
		b.WriteString(" (" + Clean(r.DeliveryMode) + ")")
	}
	if r.Acknowledged {
		b.WriteString(" [ACK]")
	}
	if r.Read && !r.Acknowledged { // an acknowledged message has been read
		b.WriteString(" [READ]")
	}
	if r.Refused {
		b.WriteString(" [REFUSED]")
	}
	if r.ErrorMessage != "" {
		b.WriteString(" error: " + Clean(r.ErrorMessage))
	}
	return b.String()
}

// Head names a message on one line, by its sender and its subject. The subject is the
// sender's words: it is in quotation marks and is short.
func Head(m *amtp.Received) string {
	subject, cut := OneLine(m.Subject, 60)
	if cut {
		subject += "…"
	}
	return "from " + Sender(m.Sender) + ", subject " + strconv.Quote(subject)
}

// Trust says how well the sender is proven, and why not better.
func Trust(m amtp.Received) string {
	if m.Trust == amtp.TrustUnverified && m.Authentication.Reason != "" {
		return Clean(string(m.Trust) + " (" + m.Authentication.Reason + ")")
	}
	return Clean(string(m.Trust))
}
