// The supervisor's hold on a worker: this program, started again.
#pragma once

#include <sys/types.h>

#include <array>
#include <optional>

#include "transport/server/message.h"

namespace p11ha::transport {

/// What all workers read: copies in memory of the files that the supervisor has found good, so that a worker that
/// starts later reads the same. One for each (re)load.
struct WorkerFiles {
  std::array<base::Descriptor, kLogFile> tls;  // the authorities, the certificate, the private key

  /// The error names the file.
  static base::Result<WorkerFiles, std::string> copyOf(const TlsFiles& files);
  /// Where this process can open them.
  TlsFiles paths() const { return pathsOf(tls[kAuthorities].get(), tls[kCertificate].get(), tls[kPrivateKey].get()); }
  static TlsFiles pathsOf(int authorities, int certificate, int privateKey);
};

/// The argument by which this program knows that it is a worker; the descriptor of its socket comes next.
inline constexpr char kWorkerArgument[] = "--worker";

/// A child process and the socket to it. Owned by the supervisor's one thread. Letting go of it closes the socket, upon
/// which the worker ends.
struct WorkerProcess {
  pid_t pid = -1;
  base::Descriptor socket;

  /// Starts one, which has but its end of the socket and the standard descriptors. The error says what failed.
  static base::Result<WorkerProcess, std::string> start();
};

/// How a child ended, for people: of what waitpid() says.
std::string describeEnd(int status);

}  // namespace p11ha::transport
