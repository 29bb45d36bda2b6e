// fault_proxy: stands between a client and a daemon and lets connections fail when told to.
#include <signal.h>

#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "testbed/fault_proxy/control.h"
#include "testbed/fault_proxy/proxy.h"

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using namespace p11ha::testbed;

constexpr char kUsage[] =
    "usage: fault_proxy --listen ADDRESS:PORT --to HOST:PORT --control PATH\n"
    "       fault_proxy ctl PATH COMMAND\n"
    "\n"
    "Passes on each connection that it accepts, and prints the address it listens on (port 0: one that is free). Ends\n"
    "with SIGTERM or SIGINT. PATH is a local socket; ctl gives a command to the proxy that listens there:\n"
    "  show            what is in force and what passed\n";

struct ProxyOptions {
  std::string listen;
  std::string to;
  std::string control;
};

int misused(const std::string& why) {
  std::fprintf(stderr, "fault_proxy: %s\n%s%s", why.c_str(), kUsage, kFaultHelp);
  return 2;
}

std::optional<ProxyOptions> proxyOptions(const std::vector<std::string>& words) {
  ProxyOptions options;
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    if (words[i] == "--listen") {
      options.listen = words[i + 1];
    } else if (words[i] == "--to") {
      options.to = words[i + 1];
    } else if (words[i] == "--control") {
      options.control = words[i + 1];
    } else {
      return std::nullopt;
    }
  }
  const bool complete = words.size() == 6 && !options.listen.empty() && !options.to.empty() && !options.control.empty();
  return complete ? std::optional(options) : std::nullopt;
}

// Throws boost::system::system_error.
tcp::endpoint endpointOf(asio::io_context& context, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) throw boost::system::system_error(asio::error::invalid_argument, text);
  tcp::resolver resolver(context);
  return resolver.resolve(text.substr(0, colon), text.substr(colon + 1))->endpoint();
}

int run(const ProxyOptions& options) {
  asio::io_context context(1);
  try {
    FaultProxy proxy(context, endpointOf(context, options.listen), endpointOf(context, options.to));
    FaultControl control(context, options.control, proxy);
    asio::signal_set ended(context, SIGTERM, SIGINT);
    ended.async_wait([&context](const boost::system::error_code&, int) { context.stop(); });
    std::printf("%s:%u\n", proxy.listening().address().to_string().c_str(), unsigned{proxy.listening().port()});
    std::fflush(stdout);
    context.run();
  } catch (const boost::system::system_error& error) {
    std::fprintf(stderr, "fault_proxy: %s\n", error.what());
    return 1;
  }
  return 0;
}

int tell(const std::vector<std::string>& words) {
  std::string command;
  for (std::size_t i = 2; i < words.size(); ++i) (command += i == 2 ? "" : " ") += words[i];
  const auto answer = tellFaultProxy(words[1], command);
  if (!answer) {
    std::fprintf(stderr, "fault_proxy: %s\n", answer.error().c_str());
    return 1;
  }
  if (*answer != "ok") std::printf("%s\n", answer->substr(4).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && (words[0] == "--help" || words[0] == "-h")) {
    std::printf("%s%s", kUsage, kFaultHelp);
    return 0;
  }
  if (words.size() >= 3 && words[0] == "ctl") return tell(words);
  const auto options = proxyOptions(words);
  return options ? run(*options) : misused("--listen, --to and --control are wanted, or ctl");
}
