//! How components ask: transport, informers with indexes, work queues, the driver, events, leader election.
