// Any bytes as the beginning of a connection: what is known of it is not changed by what comes later.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "transport/wire/client_hello.h"

using namespace p11ha::transport;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ClientHello whole = readClientHello({data, size});
  const auto require = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
  };
  if (whole.kind == ClientHello::Kind::Incomplete) require(size <= kLongestHello, "there is an end to waiting");
  if (whole.kind == ClientHello::Kind::Good)
    require(whole.destination.serial.size() <= kLongestSerial, "a serial fits");
  for (std::size_t shorter = 0; shorter < size; shorter += 1 + shorter / 8) {
    const std::vector<std::uint8_t> exact(data, data + shorter);
    const ClientHello part = readClientHello(exact);
    if (part.kind != ClientHello::Kind::Incomplete) require(part.kind == whole.kind, "a verdict stays");
  }
  return 0;
}
