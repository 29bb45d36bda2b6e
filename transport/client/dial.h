// From an address to a connection that has been greeted.
#pragma once

#include <memory>
#include <string>

#include "cryptoki/pkcs11.h"
#include "transport/client/socket.h"
#include "transport/tls/channel.h"
#include "transport/wire/client_hello.h"
#include "transport/wire/greeting.h"

namespace p11ha::transport {

/// A connection, ready to become a Link.
struct Dialled {
  Socket socket;
  TlsChannel channel;
  std::unique_ptr<FrameReader> frames;  // with what came behind the greeting
  Greeting greeting;
};

/// Why there is none.
struct DialError {
  /// CKR_TOKEN_NOT_PRESENT: the server has no such partition, or not for this client. CKR_DEVICE_ERROR: all else.
  CK_RV rv = CKR_DEVICE_ERROR;
  std::string text;  // with the server's name, ready to be shown
};

/// Connects, shakes hands and greets. `application` is what the server's log calls this
/// process. Any thread; may throw std::bad_alloc.
base::Result<Dialled, DialError> dial(const Endpoint& server, SSL_CTX& context, const Destination& destination,
                                      const std::string& application, const Patience& patience);

}  // namespace p11ha::transport
