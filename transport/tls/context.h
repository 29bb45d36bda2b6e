// TLS 1.3 with certificates on both sides: what all connections of a process share.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"

namespace p11ha::transport {

/// PEM files: the authorities that the other side's certificate must come from, and this side's own.
struct TlsFiles {
  std::string authorities;
  std::string certificate;  // its chain may follow
  std::string privateKey;
};

struct FreeSsl {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* connection) const { SSL_free(connection); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeSsl>;

enum class TlsSide : std::uint8_t { Client, Server };

/// Whether a certificate of one's own that is not valid now is an error. Where not, the other side tells.
enum class OwnDates : std::uint8_t { Checked, Unchecked };

/// Nothing older than TLS 1.3, no tickets, no renegotiation, a certificate wanted from the other side; a server selects
/// kProtocolName. The error names the file and what is wrong with it, an expired certificate of one's own included. Any
/// thread, as everything here.
base::Result<TlsContext, std::string> makeTlsContext(TlsSide side, const TlsFiles& files,
                                                     OwnDates dates = OwnDates::Checked);

/// What is wrong with the file of a private key, apart from its content.
std::optional<std::string> problemOfKeyFile(const std::string& path);

/// What OpenSSL's queue of errors of this thread says, and empties it; `otherwise` where it says nothing.
std::string takeTlsError(const std::string& otherwise);

}  // namespace p11ha::transport
