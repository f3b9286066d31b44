import HostLink
import HostModel
import HostService
import Linux
import Testing

@testable import HostDaemon
@testable import Signatures

@Suite("Host agent: logins")
struct AccountDeskTests {
    private func settings(_ password: String?) throws -> HostSettings {
        var settings = HostSettings()
        settings.access.failuresMax = 3
        // The least that is taken: tests need not wait.
        if let password {
            settings.access.rootPassword = try PasswordHash(password: password, memoryKibibytes: 8, passes: 1).text
        }
        return settings
    }

    private func login(
        _ client: ServiceClient, _ password: String, user: String = "root", origin: String = ""
    ) -> ServiceError.Refusal? {
        do {
            _ = try client.ask(Login(user: user, password: password, origin: origin))
            return nil
        } catch ServiceError.refused(let refusal) { return refusal } catch {
            Issue.record(error)
            return nil
        }
    }

    @Test("the right password is let in; a wrong one and an unknown account are refused alike")
    func checks() throws {
        try DaemonRig.with(try settings("xT7!pqz")) { rig in
            let client = try rig.begin()
            #expect(login(client, "xT7!pqz") == nil)
            let wrong = login(client, "wrong")
            #expect(wrong == .init(.denied, "The user name or the password is wrong."))
            #expect(login(client, "xT7!pqz", user: "nobody") == wrong)
            #expect(login(client, "", user: "root") == wrong)
            let events = try client.ask(ListEvents()).map(\.text)
            #expect(events.prefix(2) == ["root logged in at the console", "A login as root failed at the console"])
            #expect(Array(rig.logged.prefix(2)) == events.prefix(2).map { "auth: \($0)" })
        }
    }

    @Test(
        "failures lock the account against the right password too, across the agent's restarts, but not from elsewhere")
    func locks() throws {
        try DaemonRig.with(try settings("xT7!pqz")) { rig in
            var client = try rig.begin()
            for _ in 0..<2 { #expect(login(client, "wrong", origin: "10.0.0.9")?.text.contains("locked") == false) }
            rig.crash()
            client = try rig.begin()
            #expect(login(client, "wrong", origin: "10.0.0.9")?.text.contains("locked") == true)
            #expect(login(client, "xT7!pqz", origin: "10.0.0.7")?.reason == .denied)
            #expect(login(client, "xT7!pqz") == nil, "nobody outside can lock the console")
        }
    }

    @Test("many at a time are checked one after another, and do not get more guesses than one would")
    func flood() throws {
        try DaemonRig.with(try settings("xT7!pqz")) { rig in
            let first = try rig.begin()
            let clients = try (0..<8).map { _ in try rig.connect() }
            let done = Semaphore()
            for client in clients {
                let client = OnLoop(client)
                _ = try Thread(name: "guess") {
                    _ = try? client.value.ask(Login(user: "root", password: "wrong"))
                    done.signal()
                }
            }
            for _ in clients { done.wait() }
            let failures = try first.ask(ListEvents()).filter { $0.text.hasPrefix("A login as root failed") }
            #expect(failures.count == 3)
        }
    }

    @Test("without a password the console is open, and the world outside is not")
    func none() throws {
        try DaemonRig.with(try settings(nil)) { rig in
            let client = try rig.begin()
            #expect(login(client, "") == nil)
            #expect(login(client, "", origin: "10.0.0.9")?.text.contains("No root password is set") == true)
            #expect(login(client, "guess")?.reason == .denied)
        }
    }

    @Test("a password is changed by who knows the old one, to one that is good enough")
    func changes() throws {
        try DaemonRig.with(try settings("xT7!pqz")) { rig in
            let client = try rig.begin()
            func set(_ old: String, _ new: String) -> ServiceError.Refusal? {
                do {
                    _ = try client.ask(SetPassword(user: "root", old: old, new: new))
                    return nil
                } catch ServiceError.refused(let refusal) { return refusal } catch { return nil }
            }
            #expect(set("wrong", "yU8?qra")?.reason == .denied)
            #expect(set("xT7!pqz", "short")?.reason == .invalid)
            #expect(set("xT7!pqz", "xT7!pqz")?.text == "The password is the old one.")
            #expect(set("xT7!pqz", "yU8?qra") == nil)
            #expect(login(client, "xT7!pqz")?.reason == .denied)
            #expect(login(client, "yU8?qra") == nil)
        }
    }
}
