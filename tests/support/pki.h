// Certificates for tests.
#pragma once

#include <string>

namespace p11ha::tests {

/// Throw-away authorities ("ca", "other") and what they have signed, made by testbed/pki.sh: once a process, as that
/// takes a while. For "NAME" there are NAME.pem and NAME.key: of "ca" the servers "server" and "oldserver" (expired),
/// the clients "alice", "bob" and "expired"; of "other" the server "otherserver" and the client "mallory". Servers are
/// localhost, 127.0.0.1 and ::1.
class Pki {
 public:
  static const Pki& theOne();
  std::string path(const std::string& file) const { return folder_ + "/" + file; }

 private:
  Pki();
  std::string folder_;
};

}  // namespace p11ha::tests
