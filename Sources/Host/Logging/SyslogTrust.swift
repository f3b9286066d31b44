import HostModel
import TLS

extension LoggingSettings {
    /// Why a server gets nothing.
    struct Refusal: Error, Equatable, CustomStringConvertible {
        var description: String
    }

    /// What makes a server's certificate good: its fingerprint if one is set for it, or else an authority that vouches for it. Only
    /// who says so sends to a server that could be anybody.
    ///
    /// - Returns: nil if the server has none, because it does not speak TLS.
    func trust(for target: SyslogTarget) throws(Refusal) -> TLSTrust? {
        guard target.transport == .tls else { return nil }
        var known: [CertificateFingerprint] = []
        for certificate in certificates where SyslogTarget(certificate.target) == target {
            guard let fingerprint = CertificateFingerprint(certificate.fingerprint) else {
                throw Refusal(description: "\"\(certificate.fingerprint)\" is no fingerprint (sha-256:AA:BB:…)")
            }
            known.append(fingerprint)
        }
        if !known.isEmpty { return .fingerprints(known) }
        if !checksCertificates { return .unverified }
        if authorities.isEmpty {
            throw Refusal(
                description: "nothing says how to know its certificate: set logging.authorities, or its fingerprint in "
                    + "logging.certificates, or logging.checkCertificates to false")
        }
        do throws(TLSFailure) { return .authorities(try TLSAuthorities(pem: authorities)) } catch {
            throw Refusal(description: "logging.authorities cannot be used: \(error)")
        }
    }
}
