// Package sim runs two whole gateways in one process, in memory time, and breaks
// everything around them: their clocks, disks, power, DNS and the network between
// them. It has tests only.
//
// One number, the seed, decides what agents and operators do and what fails when.
// The parts are the real ones: intake, the SQLite store, the queue, the couriers,
// the signatures, receipts, and the handlers of the API. What is simulated is what
// a gateway stands on. When all is whole again and the queues had time to end, what
// the gateways show is compared with what they answered: each message that was
// answered 202 is in each inbox once, or its sender was told why not; nothing is
// there twice, nothing is lost, and nothing waits.
//
//	go test ./internal/test/sim                          # 10,000 seeds
//	go test ./internal/test/sim -run TestSeed -seed 4711 # one of them, with its trace
package sim
