// p11ha-memberd: an emulated appliance. Serves the tokens of PKCS#11 modules over mutual TLS.
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "testbed/memberd/control.h"
#include "testbed/memberd/settings_file.h"
#include "transport/server/supervisor.h"
#include "transport/server/worker.h"

namespace {

using namespace p11ha;

struct Options {
  std::string configuration = "/etc/p11ha-memberd.conf";
  std::optional<std::string> listen;
  std::optional<std::uint16_t> port;
  std::optional<std::string> controlSocket;
  std::optional<std::string> logFile;
  std::optional<std::string> logLevel;
  bool check = false;
  std::string socket;
  std::vector<std::string> words;
};

// What the command line says goes before what the file says.
base::Result<transport::ServerSettings, std::vector<std::string>> settingsOf(const Options& options, bool quiet) {
  testbed::ReadSettings read = testbed::loadSettings(options.configuration);
  std::vector<std::string> lines;
  for (const config::Diagnostic& finding : read.findings) lines.push_back(finding.format());
  if (read.hasErrors()) return base::Failure{lines};
  if (!quiet) {
    for (const std::string& line : lines) std::fprintf(stderr, "%s\n", line.c_str());
  }
  transport::ServerSettings& settings = read.settings;
  if (options.listen) settings.address = *options.listen;
  if (options.port) settings.port = *options.port;
  if (options.controlSocket) settings.controlSocket = *options.controlSocket;
  if (options.logFile) settings.logFile = *options.logFile;
  if (options.logLevel) settings.logLevel = *transport::findLogLevel(*options.logLevel);
  return std::move(settings);
}

int serve(const Options& options) {
  auto settings = settingsOf(options, false);
  if (!settings) {
    for (const std::string& line : settings.error()) std::fprintf(stderr, "%s\n", line.c_str());
    return 1;
  }
  if (options.check) return 0;
  // What whoever started it had open is none of its business, nor of its workers'.
  close_range(3, ~0U, 0);
  // It knows PINs.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // A log at the limit of a file's size is as a full disk: no reason to end.
  std::signal(SIGXFSZ, SIG_IGN);
  transport::Log log(settings->logLevel);
  if (const auto wrong = log.open(settings->logFile)) {
    std::fprintf(stderr, "p11ha-memberd: %s\n", wrong->c_str());
    return 1;
  }
  transport::Supervisor supervisor(
      std::move(*settings), [&options] { return settingsOf(options, true); }, log);
  if (const auto wrong = supervisor.start()) {
    if (log.descriptor() != 2) log.error(*wrong);
    std::fprintf(stderr, "p11ha-memberd: %s\n", wrong->c_str());
    return 1;
  }
  std::printf("port %u\n", supervisor.port());
  std::fflush(stdout);
  return supervisor.run();
}

int control(const Options& options) {
  const testbed::ControlAnswer answer =
      testbed::tellAppliance(options.socket, options.words, testbed::controlPatience(options.words));
  std::fputs(answer.text.c_str(), answer.status == 0 ? stdout : stderr);
  return answer.status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], transport::kWorkerArgument) == 0)
    transport::workerMain(static_cast<int>(std::strtol(argv[2], nullptr, 10)));

  Options options;
  CLI::App app("Serves tokens of PKCS#11 modules over mutual TLS 1.3, as an HSM appliance does.");
  app.footer("Keys of the configuration file (SECTION = { KEY = VALUE; }), defaults in parentheses:\n" +
             testbed::describeSettings() +
             "\nWhen it listens, \"port N\" is printed. SIGTERM: answers what is in flight, and ends. SIGHUP: reads "
             "configuration\nand certificates again, and opens the log again.");
  app.add_option("-c,--config", options.configuration, "The configuration file")->capture_default_str();
  app.add_option("--listen", options.listen, "Instead of Listen in the file");
  app.add_option("--port", options.port, "Instead of Port");
  app.add_option("--control", options.controlSocket, "Instead of ControlSocket");
  app.add_option("--log", options.logFile, "Instead of LogFile");
  app.add_option("--log-level", options.logLevel, "Instead of LogLevel")
      ->check(CLI::IsMember({"error", "warning", "info", "debug"}));
  app.add_flag("--check", options.check, "Only read the configuration, and say what is wrong with it");
  CLI::App* const ctl = app.add_subcommand("ctl", "Tells an appliance that runs what to do; in force when it returns");
  ctl->footer(
      "list                          partitions, and how they are\n"
      "clients                       connections, and whose they are\n"
      "deactivate PARTITION          ends all logins; nobody logs in any more\n"
      "activate PARTITION            logging in works again\n"
      "revoke PARTITION [CLIENT]     takes it from a client (the CN of its certificate), or from all\n"
      "restore PARTITION [CLIENT]    gives it back\n"
      "reload                        as SIGHUP");
  ctl->add_option("SOCKET", options.socket, "ControlSocket of the appliance")->required();
  ctl->add_option("COMMAND", options.words, "See below")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return ctl->parsed() ? control(options) : serve(options);
}
