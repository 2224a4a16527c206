package receipt

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// payload is the payload of a message with receipts.
type payload struct {
	Version  string        `json:"version,omitempty"`
	Type     string        `json:"message_type"`
	Receipts []wireReceipt `json:"receipts"`
}

// wireReceipt is one receipt in its form between gateways.
type wireReceipt struct {
	Message   string    `json:"message_id"` // the id that the receiving gateway knows
	Recipient string    `json:"recipient"`
	Read      amtp.Time `json:"read_at,omitzero"`
	Acked     amtp.Time `json:"acknowledged_at,omitzero"`
	Refused   amtp.Time `json:"refused_at,omitzero"`
}

// write returns the payload of receipts.
func write(list []gateway.OwedReceipt) ([]byte, error) {
	p := payload{Version: amtp.Version, Type: amtp.TypeReceipts, Receipts: make([]wireReceipt, len(list))}
	for i := range list {
		r := &list[i].Receipt
		p.Receipts[i] = wireReceipt{
			Message: string(r.Message), Recipient: r.Recipient.String(),
			Read: amtp.Time{Time: r.Read}, Acked: amtp.Time{Time: r.Acked}, Refused: amtp.Time{Time: r.Refused},
		}
	}
	return json.Marshal(p)
}

// read returns the receipts of a payload from another gateway. A receipt whose message id
// or recipient is not valid is left out.
func read(doc []byte) ([]gateway.Receipt, error) {
	var p payload
	if err := strictjson.Decode(doc, &p); err != nil {
		return nil, err
	}
	if p.Type != amtp.TypeReceipts {
		return nil, fmt.Errorf("its message_type is not %s", amtp.TypeReceipts)
	}
	if len(p.Receipts) > gateway.MaxReceipts {
		return nil, fmt.Errorf("it has %d receipts, and %d are allowed", len(p.Receipts), gateway.MaxReceipts)
	}
	var list []gateway.Receipt
	for i := range p.Receipts {
		s := &p.Receipts[i]
		id, err := amtp.ParseMessageID(s.Message)
		if err != nil {
			continue
		}
		to, err := amtp.ParseAddress(s.Recipient)
		if err != nil {
			continue
		}
		list = append(list, gateway.Receipt{Message: id, Recipient: to, Read: s.Read.Time, Acked: s.Acked.Time,
			Refused: s.Refused.Time})
	}
	return list, nil
}

// message is a message with receipts, from the gateway of one domain to that of
// another.
func message(from, to amtp.Domain, list []gateway.OwedReceipt, now time.Time) (*amtp.Message, error) {
	doc, err := write(list)
	if err != nil {
		return nil, err
	}
	sender, err := amtp.ParseAddress(gateway.ReceiptsName + "@" + string(from))
	if err != nil {
		return nil, err
	}
	recipient, err := amtp.ParseAddress(gateway.ReceiptsName + "@" + string(to))
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(amtp.Message{
		Version: amtp.Version, MessageID: amtp.NewMessageID(), Timestamp: amtp.Time{Time: now}, Sender: sender,
		Recipients: []amtp.Address{recipient},
		Headers:    json.RawMessage(`{"auto-submitted":"auto-generated"}`), Payload: doc,
	})
	if err != nil {
		return nil, err
	}
	m, refused := amtp.ParseMessage(body)
	if refused != nil {
		return nil, refused
	}
	return m, nil
}
