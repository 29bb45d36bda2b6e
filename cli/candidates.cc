#include "cli/candidates.h"

#include <algorithm>

#include "cli/tokens.h"

namespace p11ha::cli {
namespace {

class SilentConsole final : public Console {
 public:
  void out(std::string_view) override {}
  void note(std::string_view) override {}
  base::Result<std::string, NoAnswer> ask(const std::string&) override { return base::Failure{NoAnswer{}}; }
  base::Result<base::SecureBytes, NoAnswer> askSecret(const std::string&) override { return base::Failure{NoAnswer{}}; }
  bool isTerminal() const override { return false; }
  bool showsProgress() const override { return false; }
};

std::vector<std::string> serialsOf(config::Settings settings) {
  std::vector<std::string> serials;
  for (const config::Group& group : settings.groups)
    serials.insert(serials.end(), group.members.begin(), group.members.end());
  settings.groups.clear();
  settings.client.servers.clear();
  const Tokens tokens(settings);
  for (const Token& token : tokens.all()) {
    if (std::find(serials.begin(), serials.end(), token.serial()) == serials.end()) serials.push_back(token.serial());
  }
  return serials;
}

}  // namespace

std::vector<std::string> candidates(Session& session, Value kind) {
  if (kind != Value::Group && kind != Value::Serial && kind != Value::Server) return {};
  SilentConsole silent;
  Session quiet(session.configuration(), session.program(), silent);
  const auto settings = quiet.settings();
  if (!settings) return {};
  if (kind == Value::Serial) return serialsOf(*settings);
  std::vector<std::string> names;
  if (kind == Value::Group) {
    for (const config::Group& group : settings->groups) names.push_back(group.label);
  } else {
    for (const config::Server& server : settings->client.servers) names.push_back(server.name);
  }
  return names;
}

}  // namespace p11ha::cli
