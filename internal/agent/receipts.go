package agent

import (
	"cmp"
	"fmt"

	"github.com/amtp-go/amtp/internal/gateway"
)

// receiptsDefault is the word for an agent without a setting of its own.
const receiptsDefault = "default"

// receiptsWord returns the word for a wish.
func receiptsWord(w gateway.ReceiptWish) string { return cmp.Or(string(w), receiptsDefault) }

// setReceipts changes an agent's setting for receipts, when a word is given.
func setReceipts(a *gateway.Agent, word *string) error {
	if word == nil {
		return nil
	}
	for _, w := range []gateway.ReceiptWish{gateway.ReceiptsDefault, gateway.ReceiptsAlways, gateway.ReceiptsNever} {
		if receiptsWord(w) == *word {
			a.Receipts = w
			return nil
		}
	}
	return fmt.Errorf("receipts must be default, always or never, not %.40q", *word)
}
