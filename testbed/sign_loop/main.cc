// p11ha-sign-loop: an application that signs and signs, and says how long it was ever kept waiting.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "cryptoki/return_codes.h"
#include "testbed/sign_loop/ecdsa_der.h"
#include "testbed/sign_loop/signer.h"

namespace {

using p11ha::testbed::Signer;
using Clock = std::chrono::steady_clock;

constexpr char kUsage[] =
    "usage: p11ha-sign-loop --key|--make LABEL --out DIR [--rate N]\n"
    "\n"
    "Signs one message after the other with the EC key of that label until its standard input ends. The module, the\n"
    "token's label and the PIN are taken from P11HA_MODULE, P11HA_LABEL and P11HA_PIN (empty: the token has a pad for\n"
    "it). For each signature there are DIR/K.msg and DIR/K.sig (DER, over SHA-256), and a line `K RV MS`: its answer, "
    "and\n"
    "how long after the one before it came. The last line is `signatures N, failed F, longest gap X ms`.\n"
    "\n"
    "--make  as --key, but makes the key where there is none\n"
    "--rate  signatures a second (100); 0: as many as there can be\n";

struct Options {
  Signer::Settings signer;
  std::string out;
  unsigned rate = 100;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::optional<Options> parse(const std::vector<std::string>& words) {
  Options options;
  options.signer = {environment("P11HA_MODULE"), environment("P11HA_LABEL"), "", environment("P11HA_PIN"), false};
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    if (words[i] == "--key" || words[i] == "--make") {
      options.signer.keyLabel = words[i + 1];
      options.signer.generate = words[i] == "--make";
    } else if (words[i] == "--out") {
      options.out = words[i + 1];
    } else if (words[i] == "--rate") {
      char* end = nullptr;
      options.rate = static_cast<unsigned>(std::strtoul(words[i + 1].c_str(), &end, 10));
      if (end == words[i + 1].c_str() || *end != '\0') return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  const bool complete = words.size() % 2 == 0 && !options.signer.keyLabel.empty() && !options.out.empty();
  return complete ? std::optional(options) : std::nullopt;
}

// Waits for the next message's time; true once standard input has ended.
bool toldToStop(Clock::time_point next) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const int ready = poll(&input, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready <= 0) return false;
    char ignored[256];
    if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return true;
  }
}

double milliseconds(Clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

struct Tally {
  unsigned long made = 0;
  unsigned long failed = 0;
  Clock::duration longestGap{0};
};

bool keep(const std::string& stem, const std::string& message, const std::vector<std::uint8_t>& raw) {
  const auto der = p11ha::testbed::ecdsaDer(raw);
  std::ofstream text(stem + ".msg");
  std::ofstream signature(stem + ".sig", std::ios::binary);
  text << message;
  signature.write(reinterpret_cast<const char*>(der.data()), static_cast<std::streamsize>(der.size()));
  return text.flush() && signature.flush();
}

Tally loop(Signer& signer, const Options& options) {
  const Clock::duration pause =
      options.rate == 0 ? Clock::duration{0} : Clock::duration(std::chrono::seconds(1)) / options.rate;
  Tally tally;
  Clock::time_point last = Clock::now();
  Clock::time_point next = last;
  while (!toldToStop(next)) {
    next = std::max(next + pause, Clock::now());
    ++tally.made;
    const std::string number = std::to_string(tally.made);
    const std::string message = "message " + number + " of p11ha-sign-loop\n";
    const auto signature = signer.sign(message);
    const Clock::time_point now = Clock::now();
    const bool good = signature.ok() && keep(options.out + "/" + number, message, *signature);
    if (!good) ++tally.failed;
    // A gap ends with the next good signature: failures in between make it longer.
    const Clock::duration gap = now - last;
    if (good) last = now;
    tally.longestGap = std::max(tally.longestGap, gap);
    const CK_RV rv = signature ? CKR_OK : signature.error();
    std::printf("%lu %s %.1f\n", tally.made, p11ha::cryptoki::returnCodeName(rv).c_str(), milliseconds(gap));
    std::fflush(stdout);
  }
  return tally;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && words[0] == "--help") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const auto options = parse(words);
  if (!options) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  auto signer = Signer::open(options->signer);
  if (!signer) {
    std::fprintf(stderr, "p11ha-sign-loop: %s\n", signer.error().c_str());
    return 1;
  }
  const Tally tally = loop(*signer, *options);
  signer->close();
  std::printf("signatures %lu, failed %lu, longest gap %.0f ms\n", tally.made, tally.failed,
              milliseconds(tally.longestGap));
  return tally.failed == 0 ? 0 : 1;
}
