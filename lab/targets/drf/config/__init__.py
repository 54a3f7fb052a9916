import pymysql

# Django knows only mysqlclient, which would have to be compiled; this stands in for it.
pymysql.install_as_MySQLdb()
