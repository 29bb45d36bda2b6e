// p11ha-load: an application of many threads that checks every output, while something is done to its members.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cryptoki/modules.h"
#include "cryptoki/return_codes.h"
#include "testbed/load/load.h"

namespace {

using namespace p11ha;
using testbed::Load;
using testbed::LoadKeys;
using testbed::LoadTally;

constexpr char kUsage[] =
    "usage: p11ha-load [--threads N] [--rest MS]\n"
    "\n"
    "N threads (64), each of which rests MS (0) after each operation, work on the token of P11HA_MODULE, P11HA_LABEL\n"
    "and P11HA_PIN, single- and multi-part, with keys that are imported for it, and check every output with OpenSSL.\n"
    "Prints `ready` once all have begun. A line of standard input names what is being done to the members from now "
    "on,\n"
    "and is answered by `ok`; with its end the program ends too, and prints for each of them a line\n"
    "  NAME: N operations, F failed, W wrong, longest gap X ms\n"
    "The status is 0 if nothing failed and nothing was wrong.\n";

int failed(const std::string& why) {
  std::fprintf(stderr, "p11ha-load: %s\n", why.c_str());
  return 1;
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct LoadOptions {
  unsigned threads = 64;
  unsigned restMilliseconds = 0;
};

std::optional<LoadOptions> loadOptions(const std::vector<std::string>& words) {
  LoadOptions options;
  if (words.size() % 2 != 0) return std::nullopt;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    char* end = nullptr;
    const unsigned long number = std::strtoul(words[i + 1].c_str(), &end, 10);
    if (words[i + 1].empty() || *end != '\0') return std::nullopt;
    if (words[i] == "--threads" && number >= 1 && number <= 1024) {
      options.threads = static_cast<unsigned>(number);
    } else if (words[i] == "--rest" && number <= 10000) {
      options.restMilliseconds = static_cast<unsigned>(number);
    } else {
      return std::nullopt;
    }
  }
  return options;
}

std::optional<CK_SLOT_ID> slotOf(const cryptoki::LocalModule& module, const std::string& label) {
  const auto tokens = module.tokens();
  if (!tokens) return std::nullopt;
  for (const cryptoki::TokenInSlot& token : *tokens) {
    if (token.label == label) return token.slot;
  }
  return std::nullopt;
}

bool print(const std::string& kind, const LoadTally& tally) {
  std::printf("%s: %llu operations, %llu failed, %llu wrong, longest gap %.0f ms\n", kind.c_str(),
              static_cast<unsigned long long>(tally.calls), static_cast<unsigned long long>(tally.failed),
              static_cast<unsigned long long>(tally.wrong),
              std::chrono::duration<double, std::milli>(tally.longestGap).count());
  return tally.failed == 0 && tally.wrong == 0;
}

int work(const cryptoki::FunctionList& functions, const LoadKeys& keys, CK_SLOT_ID slot, const LoadOptions& options) {
  Load load(functions, keys, slot, std::chrono::milliseconds(options.restMilliseconds));
  if (const std::string wrong = load.start(options.threads); !wrong.empty()) return failed(wrong);
  load.setKind("nothing");
  std::puts("ready");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::puts(load.setKind(line) ? "ok" : "too many kinds");
    std::fflush(stdout);
  }
  load.stop();
  bool good = true;
  for (const auto& [kind, tally] : load.tallies()) good = print(kind, tally) && good;
  return good ? 0 : 1;
}

int run(const LoadOptions& options) {
  static auto* const modules = new cryptoki::Modules;  // as long as what it loads: for good
  const auto module = modules->open({environment("P11HA_MODULE"), ""});
  if (!module) return failed(module.error());
  const std::string label = environment("P11HA_LABEL");
  const auto slot = slotOf(**module, label);
  if (!slot) return failed("no token \"" + label + "\"");
  const cryptoki::FunctionList& functions = (*module)->functions();
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_RV rv = functions.C_OpenSession(*slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session);
  if (rv != CKR_OK) return failed("C_OpenSession: " + cryptoki::returnCodeName(rv));
  std::string pin = environment("P11HA_PIN");
  rv = functions.C_Login(session, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size());
  if (rv != CKR_OK) return failed("C_Login: " + cryptoki::returnCodeName(rv));
  const auto keys = LoadKeys::import(functions, session);
  if (!keys) return failed(keys.error());
  const int status = work(functions, *keys, *slot, options);
  keys->destroy(functions, session);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && words[0] == "--help") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const auto options = loadOptions(words);
  if (!options) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  return run(*options);
}
