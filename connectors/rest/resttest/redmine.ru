# What puma serves: Redmine, whose database is made first. The keys that tests need are left in a file named by FIELDSYNC_KEYS.
require File.expand_path('config/environment', __dir__)
require 'json'
require 'securerandom'

# The database is thrown away with the server: nobody needs it on the disk.
db = ActiveRecord::Base.connection
db.execute('PRAGMA journal_mode = MEMORY')
db.execute('PRAGMA synchronous = OFF')
$stdout = File.open(File::NULL, 'w') # migrations tell of themselves there
ActiveRecord::Tasks::DatabaseTasks.migrate
$stdout = STDOUT
ActiveRecord::Base.descendants.each { |model| model.reset_column_information unless model.abstract_class? }

if Redmine::DefaultData::Loader.no_data?
  Redmine::DefaultData::Loader.load('en')
  Setting.rest_api_enabled = '1'
  Setting.notified_events = []
  Setting.default_language = 'en'
end

keys = {}
key = ->(user) { Token.find_or_create_by!(user: user, action: 'api').value }

admin = User.find_by!(login: 'admin')
admin.update_columns(must_change_passwd: false, language: 'en')
keys[:admin] = key.(admin)

# The integration has a role of its own, with the rights that the description of Redmine asks for and no others.
role = Role.find_by(name: 'Integration')
unless role
  role = Role.create!(name: 'Integration', issues_visibility: 'all',
                      permissions: %i[view_issues add_issues edit_issues add_issue_notes edit_own_issue_notes delete_issues view_private_notes set_notes_private])
  role.copy_workflow_rules(Role.find_by!(name: 'Manager'))
end
user = User.find_by(login: 'fieldsync')
unless user
  user = User.new(firstname: 'Field', lastname: 'Sync', mail: 'fieldsync@example.com', language: 'en', mail_notification: 'none')
  user.login = 'fieldsync'
  user.password = user.password_confirmation = SecureRandom.hex(16)
  user.save!
end
keys.update(key: key.(user), user: user.id, role: role.id)

# Fields are given to each project, since Redmine lists those that are for all projects with none.
fields = ['External ID', 'Incident'].map do |name|
  IssueCustomField.find_by(name: name) ||
    IssueCustomField.create!(name: name, field_format: 'string', is_filter: true, trackers: Tracker.all)
end
keys[:fields] = fields.map(&:id)
File.write(ENV.fetch('FIELDSYNC_KEYS'), JSON.generate(keys))

run Rails.application
