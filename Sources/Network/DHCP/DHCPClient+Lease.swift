import Addresses

extension DHCPClient {
    private static let nobody = IPv4Address(number: 0)
    /// RFC 2131, section 3.1.5: at least ten seconds after declining.
    private static let pauseAfterDecline = 10 * Span.second
    /// RFC 2131, section 4.4.5: at least a minute between questions for more time.
    private static let extensionMin = 60 * Span.second

    // MARK: What servers say

    mutating func take(_ message: DHCPMessage, now: UInt64) -> [Action] {
        guard message.isReply, message.transaction == transaction, message.macAddress == identity.macAddress else {
            return []
        }
        switch (state, message.kind) {
        case (.selecting, .offer):
            guard let lease = DHCPLease(message) else { return [] }
            offer = lease
            tries = 0
            state = .requesting
            return sendRequest(now: now)
        case (.requesting, .acknowledgement), (.rebooting, .acknowledgement), (.renewing, .acknowledgement),
            (.rebinding, .acknowledgement):
            return acknowledged(message, now: now)
        case (.requesting, .refusal), (.rebooting, .refusal), (.renewing, .refusal), (.rebinding, .refusal):
            // Only who made the offer can take it back; a lease that is held can be refused by its network's server.
            if state == .requesting, message.options.address(.serverIdentifier) != offer?.server { return [] }
            // A server that refuses again and again must not be asked without a pause.
            refusals += 1
            let actions = drop()
            if refusals == 1 { return actions + select(now: now) }
            tries = refusals
            enter(.pausing, until: now + backOff())
            return actions
        default: return []
        }
    }

    private mutating func acknowledged(_ message: DHCPMessage, now: UInt64) -> [Action] {
        guard let new = Held(message: message.bytes, start: requestedAt) else { return [] }
        if state == .requesting, new.lease.server != offer?.server { return [] }
        refusals = 0
        // An address in use already needs no look whether it is free.
        if isConfigured, held?.lease.address == new.lease.address { return use(new, now: now) }
        let probe = AddressProbe(new.lease.address, identity.macAddress, .given, now: now, &chance)
        probed = new
        enter(.probing, until: probe.deadline)
        self.probe = probe
        return probeTimer(now: now)
    }

    /// Goes on with a lease, wherever it is in its time.
    mutating func use(_ new: Held, now: UInt64) -> [Action] {
        let isNew = !isConfigured || held != new
        var actions: [Action] = isConfigured && held?.lease.address != new.lease.address ? [.deconfigure] : []
        held = new
        if isNew { actions.append(.configure(new.lease)) }
        isConfigured = true
        if now < new.renewal {
            enter(.bound, until: new.renewal)
            return actions
        }
        newRound(now: now)
        state = .renewing
        return actions + extend(now: now)
    }

    // MARK: Looking whether an address is free

    mutating func probeTimer(now: UInt64) -> [Action] {
        guard var probe, let new = probed else { return select(now: now) }
        let step = probe.timer(now: now, &chance)
        self.probe = probe
        deadline = probe.deadline
        switch step {
        case .send(let packet): return [.send(packet)]
        case .free:
            probed = nil
            return use(new, now: now) + [.send(.announcement(new.lease.address, from: identity.macAddress))]
        case nil: return []
        }
    }

    /// Tells the server that somebody else has its address (RFC 2131, table 5), and waits.
    mutating func decline(_ address: IPv4Address, now: UInt64) -> [Action] {
        let server = probed?.lease.server
        probed = nil
        let dropped = drop()
        newRound(now: now)
        enter(.pausing, until: now + Self.pauseAfterDecline)
        guard let server else { return dropped }
        var message = message(.decline, now: now)
        message.options.set(.requestedAddress, address.number)
        message.options.set(.serverIdentifier, server.number)
        return dropped + [.broadcast(message, from: Self.nobody)]
    }

    // MARK: Requests (RFC 2131, table 4)

    /// Takes an offer, or asks whether an address from before is good.
    mutating func sendRequest(now: UInt64) -> [Action] {
        tries += 1
        requestedAt = now
        var message = message(.request, now: now)
        if state == .requesting, let offer {
            message.options.set(.requestedAddress, offer.address.number)
            message.options.set(.serverIdentifier, offer.server.number)
        } else if let held {
            message.options.set(.requestedAddress, held.lease.address.number)
        }
        enter(state, until: now + backOff())
        return [.broadcast(message, from: Self.nobody)]
    }

    /// Begins to ask for more time.
    mutating func renew(now: UInt64) -> [Action] {
        guard held != nil else { return select(now: now) }
        newRound(now: now)
        state = .renewing
        return extend(now: now)
    }

    /// Asks for more time: the server that gave the lease, then any, then begins anew.
    mutating func extend(now: UInt64) -> [Action] {
        guard let held, now < held.end else { return drop() + select(now: now) }
        requestedAt = now
        var message = message(.request, now: now)
        message.clientAddress = held.lease.address
        if now < held.rebinding {
            enter(.renewing, until: Self.next(now, before: held.rebinding))
            return [.unicast(message, to: held.lease.server)]
        }
        enter(.rebinding, until: Self.next(now, before: held.end))
        return [.broadcast(message, from: held.lease.address)]
    }

    /// Half of what is left, but not sooner than in a minute, nor later than the end.
    private static func next(_ now: UInt64, before end: UInt64) -> UInt64 {
        end == .max ? now + extensionMin : min(now + max((end - now) / 2, extensionMin), end)
    }

    mutating func release(now: UInt64) -> [Action] {
        var actions: [Action] = []
        if isConfigured, let held {
            newRound(now: now)
            var message = message(.release, now: now)
            message.clientAddress = held.lease.address
            message.options.set(.serverIdentifier, held.lease.server.number)
            actions = [.unicast(message, to: held.lease.server)]
        }
        enter(.stopped, until: nil)
        return actions + drop()
    }
}
